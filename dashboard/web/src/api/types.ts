/** What the server says: REST bodies and live events. Times are RFC 3339; `_ms` counts on the call's clock. */

export type Role = 'customer' | 'agent' | 'supervisor' | 'unknown';
export type Side = 'left' | 'right';
export type CallStatus = 'live' | 'ended';
export type SentimentLabel = 'positive' | 'neutral' | 'negative' | 'mixed';
export type Severity = 'low' | 'medium' | 'high' | 'critical';
export type ActionItemStatus = 'open' | 'done' | 'dismissed';

export interface Me {
  id: string;
  name: string;
  role: 'agent' | 'supervisor' | 'admin';
  tenant_id: string;
}

/** How far a call is on its way to, or with, an agent. A stage that is not known here is shown by its own word. */
export const STAGES = [
  'queued',
  'ringing',
  'talking',
  'held',
  'consulting',
  'voicemail',
  'callback',
  'returning',
] as const;
export type Stage = (typeof STAGES)[number];

/** Where a call is: null where it does not apply, absent from a server that does not tell. */
export interface CallPlace {
  stage?: Stage | null;
  /** The queue's name. */
  queue?: string | null;
  /** The name of the agent that it rings or talks with. */
  agent?: string | null;
}

/** A call without its insights: what `call.started` and `call.ended` tell. */
export interface CallFacts extends CallPlace {
  id: string;
  external_id: string | null;
  door: string;
  title: string | null;
  status: CallStatus;
  from_number: string | null;
  to_number: string | null;
  started_at: string;
  ended_at: string | null;
  duration_ms: number | null;
}

/** What an insight says, by its kind. A language model may have written it: `state/insights.ts` reads it with care. */
export type InsightBody = Record<string, unknown>;

/** What was said last in a call. */
export interface LastLine {
  segment_id: string;
  role: Role;
  text: string;
  start_ms: number;
  is_final: boolean;
}

export interface CallSummary extends CallFacts {
  summary: string | null;
  intent: InsightBody | null;
  sentiment: InsightBody | null;
  complaint: InsightBody | null;
  segment_count: number;
  open_action_items: number;
  /** Of a live one. */
  last_line: LastLine | null;
}

export interface CallPage {
  items: CallSummary[];
  next: string | null;
  cursor: string;
}

export interface Leg {
  id: string;
  role: Role;
  name: string | null;
  joined_at: string | null;
  left_at: string | null;
}

export interface Track {
  id: string;
  leg_id: string;
  role: Role;
  /** Where it is on the recording; that stays, whatever its role becomes. */
  side: Side;
  label: string;
  speaker: string;
  closed: boolean;
  /** Several people are on it, told apart by their voices. */
  mixed?: boolean;
  /** Which telling of its speakers is the latest known; 0 or absent: none. */
  speakers_revision?: number;
  /** What is spoken on it, once that is known. */
  language?: string | null;
}

export interface Word {
  w: string;
  start_ms: number;
  end_ms: number;
  p: number;
  /** Who said it, where a segment holds the words of several. */
  speaker?: string | null;
}

/** One of the people on a mixed track. */
export interface Speaker {
  speaker: string;
  role: Role;
  /** Whether the role is the server's guess or a person's word. */
  source: 'guess' | 'person';
}

export interface TrackSpeaker extends Speaker {
  track_id: string;
}

export interface Segment {
  segment_id: string;
  track_id: string;
  leg_id: string;
  role: Role;
  speaker: string;
  seq: number;
  start_ms: number;
  end_ms: number;
  text: string;
  /** What was recognised, before numbers and the like were written as people write them. */
  original_text?: string;
  language: string;
  confidence: number | null;
  words?: Word[];
  /** Of a partial: so many leading characters (code points) of `text` will not change any more. */
  stable?: number;
  /** Of a mixed track: when its speakers were last told; 0 or absent: as the door said. */
  speakers_revision?: number;
  latency_ms?: number | null;
  is_final?: boolean;
}

export interface Gap {
  track_id: string;
  start_ms: number;
  end_ms: number;
  cause: string;
}

export interface Insight {
  insight_id: string;
  kind: string;
  body: InsightBody;
  evidence: string[];
  source: string;
  revision: number;
  updated_at?: string;
}

export type RecordingPhase = 'off' | 'on' | 'paused' | 'writing' | 'saved' | 'failed';

/** A stretch in which nothing was recorded; open while `end_ms` is null. */
export interface Pause {
  start_ms: number;
  end_ms: number | null;
  /** `asked`: somebody paused it; else what went wrong. */
  reason?: string;
}

/** A call's recording; its time is the call's clock. */
export interface Recording {
  state: RecordingPhase;
  recording_id: string | null;
  duration_ms: number | null;
  format: string | null;
  pauses: Pause[];
  /** Why it failed, or why a part is missing. */
  reason: string | null;
}

export interface Snapshot {
  call: CallSummary;
  legs: Leg[];
  tracks: Track[];
  /** Who is on the mixed tracks; absent from an older server. */
  speakers?: TrackSpeaker[];
  segments: Segment[];
  gaps: Gap[];
  insights: Insight[];
  recording?: Recording | null;
  cursor: string;
}

/** What a recording sounds like, at a glance: the loudest of each step of time, from 0 to 1. */
export interface Peaks {
  duration_ms: number;
  step_ms: number;
  left: number[];
  right: number[];
}

/** Somebody who may come in. */
export interface Agent {
  id: string;
  name: string;
  role: Me['role'];
  created_at: string;
}

export type QueueMode = 'connect' | 'listen';
export type OnTimeout = 'voicemail' | 'callback' | 'hangup';

/** How calls to some numbers are met; what an admin may set. */
export interface QueueFields {
  name: string;
  /** The numbers called, in E.164. */
  numbers: string[];
  /** Null: as the server's own setting says. */
  mode: QueueMode | null;
  /** For `listen`, whom Twilio rings: up to ten targets, comma separated. Null: the agents themselves. */
  dial: string | null;
  /** Null: the shipped greeting; empty: none; else words that are spoken. */
  greeting: string | null;
  music: boolean;
  /** Whether callers are told of the recording. */
  consent: boolean;
  recorded: boolean;
  ring_s: number;
  max_wait_s: number;
  max_waiting: number;
  on_timeout: OnTimeout;
  overflow_to: string | null;
  overflow_after_s: number;
  /** Users' ids; empty: everybody. */
  agents: string[];
}

export interface Queue extends QueueFields {
  id: string;
  /** Takes every number that no other queue names; it cannot be deleted. */
  is_default: boolean;
}

/** Words that the recognisers expect, spelled as they are to be written. */
export interface Phrase {
  id: string;
  phrase: string;
  /** Null: in every call. */
  queue_id: string | null;
  created_at: string;
}

export type CallbackKind = 'callback' | 'voicemail';
export type CallbackStatus = 'open' | 'done' | 'dismissed';

/** Somebody who waits to be called, or who left a message. */
export interface Callback {
  id: string;
  call_id: string;
  queue_id: string | null;
  /** The queue's name. */
  queue: string | null;
  /** Null: withheld. */
  number: string | null;
  kind: CallbackKind;
  status: CallbackStatus;
  requested_at: string;
  done_by: string | null;
  done_by_name: string | null;
  done_at: string | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** Who is on a mixed track, and which of its segments have another speaker than before. */
export interface SpeakersTold {
  track_id: string;
  revision: number;
  speakers: Speaker[];
  segments: {
    segment_id: string;
    speaker: string;
    role: Role;
    /** One for each word, where the segment holds the words of several. */
    words: (string | null)[] | null;
  }[];
}

interface EventData {
  'call.started': Partial<Omit<CallFacts, 'id' | 'status'>>;
  /** `ended_at`: by the clock of the file that it was brought in as. */
  'call.ended': { reason?: string; duration_ms: number | null; ended_at?: string };
  'call.settled': Record<string, unknown>;
  'leg.joined': { leg_id: string; role: Role; name: string | null };
  'leg.left': { leg_id: string; reason?: string };
  'track.opened': {
    track_id: string;
    leg_id: string;
    role: Role;
    label: string;
    speaker: string;
    mixed?: boolean;
  };
  'track.closed': { track_id: string };
  'segment.partial': Segment;
  'segment.final': Segment;
  speakers: SpeakersTold;
  /** A track's language was found, or found to be another one. */
  language: { track_id: string; language: string; probability: number };
  insight: Insight;
  alert: Record<string, unknown>;
  gap: Gap;
  lag: { track_id: string; lag_ms: number };
  'call.stage': CallPlace;
  'recording.started': Record<string, never>;
  'recording.saved': {
    recording_id: string;
    duration_ms: number;
    format: string;
    bytes: number;
    reason?: string;
  };
  'recording.failed': { recording_id?: string; reason?: string };
  'recording.paused': { at_ms: number };
  'recording.resumed': { at_ms: number };
  heartbeat: { degraded?: string[] };
  resync: Record<string, unknown>;
}

export type EventType = keyof EventData;

export interface EventOf<T extends EventType> {
  id: string;
  type: T;
  call_id: string;
  at: string;
  data: EventData[T];
}

export type LiveEvent = { [T in EventType]: EventOf<T> }[EventType];

export interface Readiness {
  status: string;
  checks: Record<string, { ok: boolean; detail?: string | null }>;
}

export interface System {
  /** What each living worker says of itself. */
  asr: { engine?: string; model?: string; tracks?: number; overload_step?: number; lag_ms?: number }[];
  /** What the recognisers are set to: a code or `auto`; absent from an older server. */
  language?: string;

  llm: { provider: string; model: string | null; state: string };
  version: string;
  /** What is left out because words come late; absent from an older server. */
  overload?: { step: number; lag_ms: number };
}

export const EXPORT_FORMATS = ['txt', 'pdf', 'srt', 'vtt', 'csv', 'json'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export type ImportStatus = 'uploading' | 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
export type ImportParties = 'auto' | 'two' | 'mixed' | 'one';

/** What somebody says of the recordings that are to be brought in. */
export interface ImportOptions {
  parties: ImportParties;
  /** Whose the left channel is, or the only one. */
  left: 'customer' | 'agent';
  /** The caller's. */
  from_number?: string;
  /** When the call began; without it, what the file says. */
  started_at?: string;
  /** Although it was brought in before. */
  again?: boolean;
}

/** A recording that is brought in. */
export interface ImportView {
  id: string;
  name: string;
  size_bytes: number;
  status: ImportStatus;
  received_bytes: number;
  parties: ImportParties;
  left: 'customer' | 'agent';
  title: string | null;
  call_id: string | null;
  duration_ms: number | null;
  transcribed_ms: number;
  /** The end of a sentence that begins with the file's name. */
  problem: string | null;
  created_by: string | null;
  created_at: string;
  ended_at: string | null;
  is_new: boolean;
}

export interface ImportPage {
  items: ImportView[];
  next: string | null;
  max_bytes: number;
}
