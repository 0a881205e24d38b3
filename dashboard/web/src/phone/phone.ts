/** The phone as the server tells it over /ws/phone, and what may be asked of it. Times are RFC 3339. */

import type { Me, Stage } from '../api/types';
import { isWithheld, WITHHELD } from '../numbers';

export const PHONE_STATUSES = ['online', 'break', 'offline'] as const;
export type PhoneStatus = (typeof PHONE_STATUSES)[number];
export type AgentStatus = PhoneStatus | 'busy' | 'ringing';
export type SuperviseMode = 'listen' | 'whisper' | 'barge';
/** How the audio of a call stands, as the server sees it; `wanted` and `lost` ask this screen for an offer. */
export type Media = 'wanted' | 'connecting' | 'connected' | 'lost';
export type CallerState = 'connected' | 'reconnecting' | 'gone';

/** A call that rings here. */
export interface Offer {
  call_id: string;
  kind: 'queue' | 'transfer' | 'consult';
  from_number: string | null;
  to_number: string | null;
  queue: string | null;
  waiting_since: string | null;
  ringing_since: string;
  ring_ms: number;
  /** Who transfers it or asks. */
  by: string | null;
}

/** How well packets get through, one way. */
export interface NetworkFigures {
  loss_pct: number;
  jitter_ms: number;
  rtt_ms: number | null;
}

/** The call that this phone is in. */
export interface PhoneCall {
  call_id: string;
  part: 'agent' | 'supervisor';
  stage: Stage | 'waiting';
  mode: SuperviseMode | null;
  from_number: string | null;
  to_number: string | null;
  queue: string | null;
  started_at: string;
  joined_at: string;
  muted: boolean;
  held: boolean;
  /** Whether this screen carries the audio. */
  here: boolean;
  media: Media;
  caller: CallerState;
  parties: { leg_id: string; role: string; name: string | null; mode: SuperviseMode | null }[];
  transfer: { to: { user_id: string; name: string }; state: 'ringing' | 'talking' } | null;
  recording: 'on' | 'paused' | 'off';
  /** What the caller keyed last; empty when nothing. */
  keyed: string;
  network: NetworkFigures | null;
}

export interface Colleague {
  user_id: string;
  name: string;
  role: Me['role'];
  status: AgentStatus;
}

export interface QueueGlance {
  queue_id: string;
  name: string;
  waiting: number;
  longest_since: string | null;
}

export interface Phone {
  user_id: string;
  name: string;
  role: Me['role'];
  status: PhoneStatus;
  since: string;
  ice_servers: RTCIceServer[];
  offer: Offer | null;
  call: PhoneCall | null;
  agents: Colleague[];
  queues: QueueGlance[];
}

export type Command =
  | { do: 'status'; status: PhoneStatus }
  | { do: 'answer' | 'reject' | 'hang_up' | 'here'; call_id: string }
  | { do: 'complete_transfer' | 'cancel_transfer' | 'take_over' | 'leave'; call_id: string }
  | { do: 'hold' | 'mute' | 'recording'; call_id: string; on: boolean }
  | { do: 'dtmf'; call_id: string; digits: string }
  | { do: 'transfer'; call_id: string; to: string; kind: 'blind' | 'attended' }
  | { do: 'supervise'; call_id: string; mode: SuperviseMode };

export type PhoneMessage =
  | { type: 'phone'; phone: Phone }
  | { type: 'done'; id: string }
  /** Without an id it tells of something that nobody asked for. */
  | { type: 'refused'; id: string | null; detail: string }
  | { type: 'heartbeat'; at?: string };

/** Reads a message with care: a kind that is not known here is passed over, and lists that are missing are empty. */
export function readMessage(text: string): PhoneMessage | null {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(said)) return null;
  switch (said.type) {
    case 'phone':
      return isObject(said.phone) && typeof said.phone.status === 'string'
        ? { type: 'phone', phone: { ...EMPTY, ...(said.phone as unknown as Phone) } }
        : null;
    case 'done':
      return { type: 'done', id: String(said.id ?? '') };
    case 'refused':
      return {
        type: 'refused',
        id: said.id == null ? null : String(said.id),
        detail: typeof said.detail === 'string' ? said.detail : '',
      };
    case 'heartbeat':
      return { type: 'heartbeat', ...(typeof said.at === 'string' && { at: said.at }) };
    default:
      return null;
  }
}

const EMPTY = { ice_servers: [], offer: null, call: null, agents: [], queues: [] };

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether somebody else's caller is talked about with this phone, in a transfer. */
export function isConsulted(phone: Pick<Phone, 'user_id' | 'call'>): boolean {
  return phone.call?.transfer?.to.user_id === phone.user_id;
}

/** Who transfers first completes that, or goes back to the caller: hanging up would end the call for both. */
export function mayHangUp(phone: Pick<Phone, 'user_id' | 'call'>): boolean {
  const { call } = phone;
  return call !== null && (call.transfer === null || call.part === 'supervisor' || isConsulted(phone));
}

/** What to call the person on the line. */
export function callerName({ from_number }: Pick<Offer, 'from_number'>): string {
  return from_number === null || isWithheld(from_number) ? WITHHELD : from_number;
}
