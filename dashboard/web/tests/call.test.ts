import { describe, expect, it } from 'vitest';
import type { LiveEvent } from '../src/api/types';
import { applyAll, applyEvent, emptyCall, fromSnapshot, putInsight } from '../src/state/call';
import { CALL_ID, EVENTS, insight, segment, snapshotAfter } from './fixtures/call';

const replayed = applyAll(emptyCall(CALL_ID), EVENTS);

const told = (type: 'segment.partial' | 'segment.final', data: ReturnType<typeof segment>) =>
  ({ id: 'x', type, call_id: CALL_ID, at: '2026-03-02T09:00:00Z', data }) as LiveEvent;

describe('a snapshot and the events after it equal all events replayed', () => {
  it.each(EVENTS.map((_, cut) => cut))('cut after %i events', (cut) => {
    const state = fromSnapshot(snapshotAfter(EVENTS.slice(0, cut)));
    const started = cut === 0 ? emptyCall(CALL_ID) : state;
    expect(applyAll(started, EVENTS.slice(cut))).toEqual(replayed);
  });

  it.each([1, 5, 12])('also when %i events before the cursor come again', (overlap) => {
    for (let cut = overlap; cut <= EVENTS.length; cut += 1) {
      const state = fromSnapshot(snapshotAfter(EVENTS.slice(0, cut)));
      expect(applyAll(state, EVENTS.slice(cut - overlap))).toEqual(replayed);
    }
  });

  it('also when every event comes twice', () => {
    const twice = EVENTS.flatMap((event) => [event, event]);
    expect(applyAll(emptyCall(CALL_ID), twice)).toEqual(replayed);
  });
});

describe('segments', () => {
  it('stand once each, by their start', () => {
    expect(replayed.segments.map((s) => s.text)).toEqual([
      'Good morning, how can I help?',
      'Hi, my bill is wrong.',
      'Let me look.',
    ]);
  });

  it('turn from partial to final in place', () => {
    const before = applyEvent(emptyCall(CALL_ID), told('segment.partial', segment('agent', 0, 100, 'Good')));
    expect(before.segments).toMatchObject([{ text: 'Good', is_final: false }]);
    const after = applyEvent(before, told('segment.final', segment('agent', 0, 100, 'Good day.')));
    expect(after.segments).toMatchObject([{ segment_id: 'agent-0', text: 'Good day.', is_final: true }]);
  });

  it('keep their final words when a partial comes late', () => {
    expect(applyEvent(replayed, told('segment.partial', segment('agent', 0, 1200, 'Good')))).toBe(replayed);
    expect(applyEvent(replayed, told('segment.partial', segment('agent', 0, 1200, '')))).toBe(replayed);
  });

  it('lose their grey line when the partial is dropped', () => {
    const grey = applyEvent(replayed, told('segment.partial', segment('agent', 2, 9000, 'Hm')));
    expect(grey.segments).toHaveLength(4);
    expect(applyEvent(grey, told('segment.partial', segment('agent', 2, 9000, ''))).segments).toHaveLength(3);
  });

  it('that began earlier go before those that began later', () => {
    const late = applyEvent(replayed, told('segment.final', segment('customer', 2, 3000, 'Hello?')));
    expect(late.segments.map((s) => s.start_ms)).toEqual([1200, 1900, 3000, 8000]);
  });

  it('still grey when the call is settled go away', () => {
    const grey = applyAll(emptyCall(CALL_ID), [told('segment.partial', segment('agent', 0, 1, 'Hm'))]);
    const settled = { id: 'x', type: 'call.settled', call_id: CALL_ID, at: '', data: {} } as LiveEvent;
    expect(applyEvent(grey, settled).segments).toEqual([]);
  });
});

describe('insights', () => {
  it('keep the newest revision', () => {
    expect(replayed.insights['i-intent']?.body).toEqual({ label: 'billing', confidence: 0.9 });
    expect(putInsight(replayed, insight('i-intent', 'intent', 1, { label: 'greeting' }))).toBe(replayed);
    const newer = putInsight(replayed, insight('i-intent', 'intent', 3, { label: 'refund' }));
    expect(newer.insights['i-intent']?.body).toEqual({ label: 'refund' });
  });
});

describe('the call', () => {
  const again = (at: string) =>
    ({ id: 'x', type: 'call.started', call_id: CALL_ID, at, data: { door: 'browser' } }) as LiveEvent;

  it('lives again when it is taken up after its end', () => {
    const { call } = applyEvent(replayed, again('2026-03-02T10:00:00Z'));
    expect(call).toMatchObject({ status: 'live', ended_at: null, duration_ms: null, door: 'browser' });
    expect(call.started_at).toBe(replayed.call.started_at);
  });

  it('stays ended when its start is told again', () => {
    expect(applyEvent(replayed, again('2026-03-02T09:00:00Z')).call.status).toBe('ended');
  });
});

it('a closed track is not behind', () => {
  const [track_id] = Object.keys(replayed.tracks);
  const late = {
    id: 'x',
    type: 'lag',
    call_id: CALL_ID,
    at: '',
    data: { track_id, lag_ms: 9000 },
  } as LiveEvent;
  const opened = applyAll(emptyCall(CALL_ID), [...EVENTS.slice(0, 5), late]);
  const closed = { id: 'x', type: 'track.closed', call_id: CALL_ID, at: '', data: { track_id } } as LiveEvent;
  expect(Object.keys(opened.lag)).toEqual([track_id]);
  expect(applyEvent(opened, closed).lag).toEqual({});
});

it('an event of an unknown type changes nothing', () => {
  const event = { id: 'x', type: 'call.parked', call_id: CALL_ID, at: '', data: {} } as unknown as LiveEvent;
  expect(applyEvent(replayed, event)).toBe(replayed);
});

it('the old state is never changed', () => {
  const frozen = structuredClone(replayed);
  applyAll(replayed, EVENTS);
  expect(replayed).toEqual(frozen);
});
