/** The state of one call's screen: `applyAll(fromSnapshot(s), later events)` equals all events replayed. */

import type {
  CallFacts,
  EventOf,
  Gap,
  Insight,
  Leg,
  LiveEvent,
  Recording,
  Segment,
  Snapshot,
  Speaker,
  Track,
} from '../api/types';
import { recordingAfter, recordingTakenUp } from './recording';
import { byTrack, inRole, keepingSpeakers, putSpeakers } from './speakers';

export interface CallState {
  call: CallFacts;
  legs: Readonly<Record<string, Leg>>;
  tracks: Readonly<Record<string, Track>>;
  /** Who is on each mixed track, as far as they are told apart. */
  speakers: Readonly<Record<string, readonly Speaker[]>>;
  /** By start, then track and number; each segment_id once. */
  segments: readonly ScreenSegment[];
  gaps: readonly Gap[];
  insights: Readonly<Record<string, Insight>>;
  /** How far each track's recogniser is behind, and when it said so. */
  lag: Readonly<Record<string, { lag_ms: number; at: string }>>;
  /** Null as long as nothing is known of it. */
  recording: Recording | null;
}

export type ScreenSegment = Omit<Segment, 'is_final'> & { is_final: boolean };

export function emptyCall(callId: string): CallState {
  return {
    call: {
      id: callId,
      external_id: null,
      door: 'unknown',
      title: null,
      status: 'live',
      from_number: null,
      to_number: null,
      started_at: '',
      ended_at: null,
      duration_ms: null,
      stage: null,
      queue: null,
      agent: null,
    },
    legs: {},
    tracks: {},
    speakers: {},
    segments: [],
    gaps: [],
    insights: {},
    lag: {},
    recording: null,
  };
}

export function fromSnapshot(snapshot: Snapshot): CallState {
  const { call } = snapshot;
  const speakers = byTrack(snapshot.speakers ?? []);
  return {
    call: {
      id: call.id,
      external_id: call.external_id,
      door: call.door,
      title: call.title,
      status: call.status,
      from_number: call.from_number,
      to_number: call.to_number,
      started_at: call.started_at,
      ended_at: call.ended_at,
      duration_ms: call.duration_ms,
      stage: call.stage ?? null,
      queue: call.queue ?? null,
      agent: call.agent ?? null,
    },
    legs: Object.fromEntries(snapshot.legs.map((leg) => [leg.id, leg])),
    tracks: Object.fromEntries(
      snapshot.tracks.map((track) => [
        track.id,
        { mixed: false, language: null, speakers_revision: 0, ...track },
      ]),
    ),
    speakers,
    segments: snapshot.segments
      .map((segment) => inRole({ ...segment, is_final: segment.is_final ?? true }, speakers))
      .sort(compareSegments),
    gaps: [...snapshot.gaps].sort(compareGaps),
    insights: Object.fromEntries(snapshot.insights.map((insight) => [insight.insight_id, insight])),
    lag: {},
    recording: snapshot.recording ?? null,
  };
}

export function applyAll(state: CallState, events: readonly LiveEvent[]): CallState {
  return events.reduce(applyEvent, state);
}

/** The state after one more event. Applying the same event again changes nothing. */
export function applyEvent(state: CallState, event: LiveEvent): CallState {
  switch (event.type) {
    case 'call.started': {
      const call = started(state.call, event);
      const again = call.status === 'live' && state.call.status === 'ended';
      return { ...state, call, recording: again ? recordingTakenUp(state.recording) : state.recording };
    }
    case 'call.ended':
      return { ...withRecording(state, event), call: ended(state.call, event) };
    case 'call.stage':
      return { ...state, call: placed(state.call, event) };
    case 'call.settled':
      return { ...state, lag: {}, segments: state.segments.filter((s) => s.is_final) };
    case 'leg.joined': {
      const { leg_id, role, name } = event.data;
      const known = state.legs[leg_id];
      const leg = {
        id: leg_id,
        role,
        name,
        joined_at: known?.joined_at ?? event.at,
        left_at: known?.left_at ?? null,
      };
      return { ...state, legs: { ...state.legs, [leg_id]: leg } };
    }
    case 'leg.left': {
      const leg = state.legs[event.data.leg_id];
      if (!leg || leg.left_at !== null) return state;
      return { ...state, legs: { ...state.legs, [leg.id]: { ...leg, left_at: event.at } } };
    }
    case 'track.opened': {
      const { track_id, leg_id, role, label, speaker, mixed = false } = event.data;
      const {
        side = role === 'customer' ? 'left' : 'right',
        closed = false,
        language = null,
        speakers_revision = 0,
      } = state.tracks[track_id] ?? {};
      const track: Track = {
        id: track_id,
        leg_id,
        role,
        side,
        label,
        speaker,
        closed,
        mixed,
        language,
        speakers_revision,
      };
      return { ...state, tracks: { ...state.tracks, [track_id]: track } };
    }
    case 'track.closed': {
      const track = state.tracks[event.data.track_id];
      if (!track || track.closed) return state;
      const { [track.id]: _gone, ...lag } = state.lag;
      return { ...state, lag, tracks: { ...state.tracks, [track.id]: { ...track, closed: true } } };
    }
    case 'segment.partial':
      return putPartial(state, event.data);
    case 'segment.final':
      return putSegment(state, { ...event.data, is_final: true });
    case 'speakers':
      return putSpeakers(state, event.data);
    case 'language': {
      const track = state.tracks[event.data.track_id];
      if (!track) return state;
      const { language } = event.data;
      return { ...state, tracks: { ...state.tracks, [track.id]: { ...track, language } } };
    }
    case 'insight':
      return putInsight(state, { ...event.data, updated_at: event.at });
    case 'gap':
      return putGap(state, event.data);
    case 'lag': {
      const { track_id, lag_ms } = event.data;
      return { ...state, lag: { ...state.lag, [track_id]: { lag_ms, at: event.at } } };
    }
    case 'recording.started':
    case 'recording.saved':
    case 'recording.failed':
    case 'recording.paused':
    case 'recording.resumed':
      return withRecording(state, event);
    case 'alert':
    case 'heartbeat':
    case 'resync':
      return state;
    default:
      return state;
  }
}

/** A newer revision replaces an older one; an older or the same one changes nothing. */
export function putInsight(state: CallState, insight: Insight): CallState {
  const known = state.insights[insight.insight_id];
  if (known && known.revision >= insight.revision) return state;
  return { ...state, insights: { ...state.insights, [insight.insight_id]: insight } };
}

/** A call that starts later than it ended was taken up again; what was imported has the clock of its file. */
export function started<C extends CallFacts>(call: C, { data, at }: EventOf<'call.started'>): C {
  const { external_id, door, title, from_number, to_number, started_at } = data;
  const facts = { external_id, door, title, from_number, to_number, started_at };
  const told = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null);
  const again = call.ended_at !== null && !isImported(call) && Date.parse(at) > Date.parse(call.ended_at);
  return {
    ...call,
    started_at: call.started_at || at,
    ...Object.fromEntries(told),
    ...(again && { status: 'live', ended_at: null, duration_ms: null }),
  };
}

/** Whether the call is a recording that was brought in: while it is, it is live for the machine alone. */
export function isImported({ door }: CallFacts): boolean {
  return door === 'file';
}

export function ended<C extends CallFacts>(call: C, { data, at }: EventOf<'call.ended'>): C {
  return {
    ...call,
    status: 'ended',
    ended_at: call.ended_at ?? data.ended_at ?? at,
    duration_ms: data.duration_ms ?? call.duration_ms,
    stage: null,
  };
}

/** Where the call is now. An agent and a queue that an event does not name are gone. */
export function placed<C extends CallFacts>(call: C, { data }: EventOf<'call.stage'>): C {
  return { ...call, stage: data.stage ?? null, queue: data.queue ?? null, agent: data.agent ?? null };
}

function withRecording(state: CallState, event: LiveEvent): CallState {
  const recording = recordingAfter(state.recording, event);
  return recording === state.recording ? state : { ...state, recording };
}

/** A partial without words takes its grey line away; words that are final stay. */
function putPartial(state: CallState, segment: Segment): CallState {
  const at = indexOf(state.segments, segment.segment_id);
  if (at >= 0 && state.segments[at]?.is_final) return state;
  if (segment.text.trim() !== '') return putSegment(state, { ...segment, is_final: false });
  return at < 0 ? state : { ...state, segments: state.segments.toSpliced(at, 1) };
}

function putSegment(state: CallState, segment: ScreenSegment): CallState {
  const known = indexOf(state.segments, segment.segment_id);
  const others = known < 0 ? state.segments : state.segments.toSpliced(known, 1);
  const put = keepingSpeakers(state.segments[known], segment);
  let at = others.length;
  while (at > 0 && compareSegments(others[at - 1] as ScreenSegment, put) > 0) at -= 1;
  return { ...state, segments: others.toSpliced(at, 0, put) };
}

/** Looks from the end: nearly every event is about one of the last lines. */
function indexOf(segments: readonly ScreenSegment[], segmentId: string): number {
  return segments.findLastIndex((segment) => segment.segment_id === segmentId);
}

function putGap(state: CallState, gap: Gap): CallState {
  if (state.gaps.some((known) => compareGaps(known, gap) === 0)) {
    return { ...state, gaps: state.gaps.map((known) => (compareGaps(known, gap) === 0 ? gap : known)) };
  }
  return { ...state, gaps: [...state.gaps, gap].sort(compareGaps) };
}

export function compareSegments(a: ScreenSegment, b: ScreenSegment): number {
  return a.start_ms - b.start_ms || compareText(a.track_id, b.track_id) || a.seq - b.seq;
}

function compareGaps(a: Gap, b: Gap): number {
  return a.start_ms - b.start_ms || compareText(a.track_id, b.track_id) || compareText(a.cause, b.cause);
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
