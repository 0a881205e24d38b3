/** What the server says: REST bodies and live events. Times are RFC 3339; `_ms` counts on the call's clock. */

export type Role = 'customer' | 'agent' | 'supervisor' | 'unknown';
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

/** A call without its insights: what `call.started` and `call.ended` tell. */
export interface CallFacts {
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

export interface CallSummary extends CallFacts {
  summary: string | null;
  intent: InsightBody | null;
  sentiment: InsightBody | null;
  complaint: InsightBody | null;
  segment_count: number;
  open_action_items: number;
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
  label: string;
  speaker: string;
  closed: boolean;
}

export interface Word {
  w: string;
  start_ms: number;
  end_ms: number;
  p: number;
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
  language: string;
  confidence: number | null;
  words?: Word[];
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

export interface Snapshot {
  call: CallSummary;
  legs: Leg[];
  tracks: Track[];
  segments: Segment[];
  gaps: Gap[];
  insights: Insight[];
  cursor: string;
}

interface EventData {
  'call.started': Partial<Omit<CallFacts, 'id' | 'status'>>;
  'call.ended': { reason?: string; duration_ms: number | null };
  'call.settled': Record<string, unknown>;
  'leg.joined': { leg_id: string; role: Role; name: string | null };
  'leg.left': { leg_id: string; reason?: string };
  'track.opened': { track_id: string; leg_id: string; role: Role; label: string; speaker: string };
  'track.closed': { track_id: string };
  'segment.partial': Segment;
  'segment.final': Segment;
  insight: Insight;
  alert: Record<string, unknown>;
  gap: Gap;
  lag: { track_id: string; lag_ms: number };
  'recording.saved': Record<string, unknown>;
  'recording.failed': Record<string, unknown>;
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
  asr: { engine?: string; model?: string }[];
  llm: { provider: string; model: string | null; state: string };
  version: string;
}

export const EXPORT_FORMATS = ['txt', 'srt', 'vtt', 'csv', 'json'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
