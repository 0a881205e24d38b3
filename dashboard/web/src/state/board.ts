/** The state of the calls page's live half: every live call, and those that ended while we looked. */

import type { CallPage, CallSummary, Insight, LastLine, LiveEvent } from '../api/types';
import { emptyCall, ended, placed, started } from './call';
import { readActionItem, readIntent, readSummary } from './insights';

export interface BoardCall extends CallSummary {
  /** The newest revision seen of each insight, and whether it counts as an open action item. */
  seen: Readonly<Record<string, { revision: number; open: boolean }>>;
}

export interface BoardState {
  calls: Readonly<Record<string, BoardCall>>;
}

export const EMPTY_BOARD: BoardState = { calls: {} };

export function boardFromPage(page: CallPage): BoardState {
  return { calls: Object.fromEntries(page.items.map((call) => [call.id, boardCall(call)])) };
}

export function applyAllToBoard(state: BoardState, events: readonly LiveEvent[]): BoardState {
  return events.reduce(applyToBoard, state);
}

export function applyToBoard(state: BoardState, event: LiveEvent): BoardState {
  if (event.type === 'call.started') {
    const known = state.calls[event.call_id] ?? newCall(event.call_id);
    return put(state, started(known, event));
  }
  const call = state.calls[event.call_id];
  if (!call) return state;
  switch (event.type) {
    case 'call.ended':
      return put(state, ended(call, event));
    case 'call.stage':
      return put(state, placed(call, event));
    case 'segment.partial':
    case 'segment.final': {
      const last_line = newerLine(call.last_line, {
        segment_id: event.data.segment_id,
        role: event.data.role,
        text: event.data.text,
        start_ms: event.data.start_ms,
        is_final: event.type === 'segment.final',
      });
      return last_line === call.last_line ? state : put(state, { ...call, last_line });
    }
    case 'insight':
      return put(state, withInsight(call, event.data));
    default:
      return state;
  }
}

function put(state: BoardState, call: BoardCall): BoardState {
  return { calls: { ...state.calls, [call.id]: call } };
}

function boardCall(call: CallSummary): BoardCall {
  return { ...call, seen: {} };
}

function newCall(callId: string): BoardCall {
  return boardCall({
    ...emptyCall(callId).call,
    summary: null,
    intent: null,
    sentiment: null,
    complaint: null,
    segment_count: 0,
    open_action_items: 0,
    last_line: null,
  });
}

/** The line that started last wins; a final never falls back to one of its partials. */
function newerLine(known: LastLine | null, line: LastLine): LastLine | null {
  if (line.text.trim() === '') return known?.segment_id === line.segment_id && !known.is_final ? null : known;
  if (!known) return line;
  if (known.segment_id === line.segment_id) return known.is_final ? known : line;
  return line.start_ms >= known.start_ms ? line : known;
}

function withInsight(call: BoardCall, insight: Insight): BoardCall {
  const known = call.seen[insight.insight_id];
  if (known && known.revision >= insight.revision) return call;
  const open = insight.kind === 'action_item' && readActionItem(insight.body).status === 'open';
  const seen = { ...call.seen, [insight.insight_id]: { revision: insight.revision, open } };
  switch (insight.kind) {
    case 'summary':
      return { ...call, seen, summary: readSummary(insight.body) };
    case 'intent':
      return { ...call, seen, intent: insight.body };
    case 'sentiment':
      return { ...call, seen, sentiment: insight.body };
    case 'complaint':
      return { ...call, seen, complaint: insight.body };
    case 'action_item': {
      // An item first seen past its first revision was counted by the list; it was open then, as nearly all are.
      const wasOpen = known ? known.open : insight.revision > 1;
      const open_action_items = Math.max(0, call.open_action_items + Number(open) - Number(wasOpen));
      return { ...call, seen, open_action_items };
    }
    default:
      return { ...call, seen };
  }
}

/** Whether a live call fits the words searched for, by what the screen shows of it. */
export function liveMatches(call: BoardCall, q: string): boolean {
  const shown = [
    call.title,
    call.from_number,
    call.to_number,
    call.external_id,
    call.summary,
    call.intent && readIntent(call.intent)?.label.replace(/_/g, ' '),
    call.last_line?.text,
    call.queue,
    call.agent,
  ];
  const wanted = q.toLowerCase();
  return shown.some((text) => text?.toLowerCase().includes(wanted)) || wanted === '';
}
