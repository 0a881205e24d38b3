import { describe, expect, it } from 'vitest';
import type { LiveEvent } from '../src/api/types';
import { applyAllToBoard, boardFromPage, EMPTY_BOARD, liveMatches } from '../src/state/board';
import { CALL_ID, EVENTS, insight, snapshotAfter } from './fixtures/call';

const replayed = applyAllToBoard(EMPTY_BOARD, EVENTS);
const call = replayed.calls[CALL_ID];

const told = (data: ReturnType<typeof insight>) =>
  ({ id: 'x', type: 'insight', call_id: CALL_ID, at: '', data }) as LiveEvent;

describe('the board', () => {
  it('shows a call from its first event to its end', () => {
    expect(call).toMatchObject({
      door: 'twilio',
      status: 'ended',
      duration_ms: 12_000,
      intent: { label: 'billing', confidence: 0.9 },
      summary: 'A wrong bill.',
      last_line: { role: 'agent', text: 'Let me look.', is_final: true },
      open_action_items: 0,
      stage: null,
      queue: 'Service',
      agent: 'Priya',
    });
  });

  it('follows where the call is', () => {
    const at = EVENTS.findIndex((event) => event.type === 'call.stage');
    const upTo = (count: number) => applyAllToBoard(EMPTY_BOARD, EVENTS.slice(0, count)).calls[CALL_ID];
    expect(upTo(at)?.stage).toBeNull();
    expect(upTo(at + 1)).toMatchObject({ stage: 'talking', queue: 'Service', agent: 'Priya' });
  });

  it('is the same when every event comes twice', () => {
    expect(
      applyAllToBoard(
        EMPTY_BOARD,
        EVENTS.flatMap((event) => [event, event]),
      ),
    ).toEqual(replayed);
  });

  it('follows the last line, partials too', () => {
    const upTo = (count: number) =>
      applyAllToBoard(EMPTY_BOARD, EVENTS.slice(0, count)).calls[CALL_ID]?.last_line;
    expect(upTo(7)).toMatchObject({ text: 'Good morning, how', is_final: false });
    expect(upTo(8)).toMatchObject({ role: 'customer', text: 'Hi' });
    // The agent's final belongs to words said before the customer's.
    expect(upTo(9)).toMatchObject({ role: 'customer', text: 'Hi' });
  });

  it('begins with the last line that is stored, and goes on from there', () => {
    const text = 'Good morning, how can I help?';
    const line = { segment_id: 'agent-0', role: 'agent', text, start_ms: 1200, is_final: true } as const;
    const listed = { ...snapshotAfter(EVENTS.slice(0, 5)).call, last_line: line };
    const board = boardFromPage({ items: [listed], next: null, cursor: '5-0' });
    expect(board.calls[CALL_ID]?.last_line).toEqual(line);
    const upTo = (count: number) => applyAllToBoard(board, EVENTS.slice(5, count)).calls[CALL_ID]?.last_line;
    expect(upTo(7)).toEqual(line);
    expect(upTo(22)).toMatchObject({ text: 'Let me look.', is_final: true });
  });

  it('knows nothing of calls it was not told of', () => {
    const later = EVENTS.slice(5);
    expect(applyAllToBoard(EMPTY_BOARD, later)).toBe(EMPTY_BOARD);
  });

  it('counts action items on from the list', () => {
    const listed = { ...snapshotAfter(EVENTS.slice(0, 5)).call, open_action_items: 2 };
    const board = boardFromPage({ items: [listed], next: null, cursor: '5-0' });
    const open = { text: 'a', status: 'open' };
    const count = (events: LiveEvent[]) => applyAllToBoard(board, events).calls[CALL_ID]?.open_action_items;
    expect(count([told(insight('new', 'action_item', 1, open))])).toBe(3);
    expect(
      count([told(insight('new', 'action_item', 1, open)), told(insight('new', 'action_item', 1, open))]),
    ).toBe(3);
    expect(count([told(insight('old', 'action_item', 2, { ...open, status: 'done' }))])).toBe(1);
    expect(count([told(insight('old', 'action_item', 2, open))])).toBe(2);
  });

  it('finds live calls by what it shows of them', () => {
    if (!call) throw new Error('no call');
    expect(liveMatches(call, '')).toBe(true);
    expect(liveMatches(call, '+4420')).toBe(true);
    expect(liveMatches(call, 'LET ME')).toBe(true);
    expect(liveMatches(call, 'priya')).toBe(true);
    expect(liveMatches(call, 'refund')).toBe(false);
  });
});
