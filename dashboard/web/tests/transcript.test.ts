import { describe, expect, it } from 'vitest';
import type { Word } from '../src/api/types';
import { annotate, firmLength, isLow } from '../src/components/transcript/annotate';
import { type Loss, lossesOf, placesOf, sideOf } from '../src/components/transcript/losses';
import { causeOf, rowsOf } from '../src/components/transcript/rows';
import { findHits } from '../src/components/transcript/search';
import { takenBack } from '../src/components/transcript/useRetracted';
import { applyAll, type CallState, emptyCall, type ScreenSegment } from '../src/state/call';
import { CALL_ID, EVENTS, segment } from './fixtures/call';

const word = (w: string, p: number): Word => ({ w, p, start_ms: 0, end_ms: 0 });
const final = (...args: Parameters<typeof segment>) => ({ ...segment(...args), is_final: true });
const rowsIn = (state: Partial<CallState>, usual = 'en') =>
  rowsOf({ segments: [], gaps: [], speakers: {}, ...state }, usual);
const texts = (text: string, words: Word[], query: string) =>
  annotate(text, words, { query }).map((span) => {
    const marks = `${span.unsure === null ? '' : '?'}${span.hit ? '!' : ''}`;
    return marks + span.text;
  });

describe('rows', () => {
  it('put gaps where they happened and begin a turn with each change of speaker', () => {
    const rows = rowsIn(applyAll(emptyCall(CALL_ID), EVENTS));
    expect(rows.map((row) => (row.type === 'gap' ? 'gap' : `${row.key}${row.head ? ' head' : ''}`))).toEqual([
      'agent-0 head',
      'customer-0 head',
      'gap',
      'agent-1 head',
    ]);
  });

  it('keep one speaker together until a gap', () => {
    const segments = [
      final('agent', 0, 0, 'One'),
      final('agent', 1, 900, 'two'),
      final('agent', 2, 3000, 'three'),
    ];
    const gaps = [{ track_id: 't', start_ms: 2000, end_ms: 3000, cause: 'x' }];
    expect(rowsIn({ segments, gaps }).map((row) => row.type === 'segment' && row.head)).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});

describe('annotate', () => {
  it('marks words heard with low confidence, whatever case and marks the text has', () => {
    const words = [
      word('raise', 0.9),
      word('it', 0.9),
      word('with', 0.9),
      word('the', 0.9),
      word('ombudsman', 0.3),
    ];
    expect(texts('Raise it with the Ombudsman.', words, '')).toEqual(['Raise it with the ', '?Ombudsman.']);
  });

  it('finds the right one of two equal words, and passes over words that were cleaned away', () => {
    const words = [word('no', 0.9), word('uh', 0.2), word('no', 0.2), word('way', 0.9)];
    expect(texts('No, no way', words, '')).toEqual(['No, ', '?no', ' way']);
  });

  it('marks hits, also across doubtful words, and loses no letter', () => {
    const words = [word('meter', 0.9), word('reading', 0.2), word('today', 0.9)];
    expect(texts('Meter reading today', words, 'r READ')).toEqual([
      'Mete',
      '!r ',
      '?!read',
      '?ing',
      ' today',
    ]);
  });

  it('takes markup for text', () => {
    const text = '<img src=x onerror=alert(1)>';
    expect(
      annotate(text, [], { query: 'src' })
        .map((span) => span.text)
        .join(''),
    ).toBe(text);
  });

  it('places an amount and a sign that stands alone', () => {
    const word = (w: string, p: number) => ({ w, start_ms: 0, end_ms: 100, p });
    const words = [word('Das', 0.9), word('macht', 0.9), word('25,50', 0.9), word('€.', 0.3)];
    expect(texts('Das macht 25,50 €.', words, '')).toEqual(['Das macht 25,50 ', '?€.']);
    const all = annotate(
      "That's $25.50, right?",
      [word("That's", 1), word('$25.50,', 1), word('right?', 1)],
      { everyWord: true },
    );
    expect(all.filter((span) => span.word !== null).map((span) => span.text)).toEqual([
      "That's",
      '$25.50,',
      'right?',
    ]);
  });

  it('tells what stands from what may still change, and loses no letter', () => {
    const parts = (text: string, stable?: number) =>
      annotate(text, [], { firm: firmLength(text, stable) }).map(
        (span) => (span.loose ? '~' : '') + span.text,
      );
    expect(parts('My bill is', 7)).toEqual(['My bill', '~ is']);
    expect(parts('My bill is', 99)).toEqual(['My bill is']);
    expect(parts('My bill is')).toEqual(['~My bill is']);
    // Counted in whole characters, as the server does.
    expect(parts('😀😀 ja', 3)).toEqual(['😀😀 ', '~ja']);
  });

  it('marks nothing without a query', () => {
    expect(texts('as it is', [], '  ')).toEqual(['as it is']);
  });
});

it('search finds every place, in order', () => {
  const segments = [final('agent', 0, 0, 'Bill by bill'), final('customer', 0, 900, 'No BILL')];
  expect(findHits(rowsIn({ segments }), 'bill')).toEqual([
    { row: 0, key: 'agent-0', start: 0 },
    { row: 0, key: 'agent-0', start: 8 },
    { row: 1, key: 'customer-0', start: 3 },
  ]);
});

it('a line is doubtful below a half, and never where nothing was said of it', () => {
  expect([0.49, 0.5, null].map((confidence) => isLow({ confidence }))).toEqual([true, false, false]);
});

it('what was taken back is what is gone without having become final', () => {
  const [kept, gone, settled] = [0, 1, 2].map((seq) => ({
    ...segment('agent', seq, seq * 1000, 'Hm'),
    is_final: seq === 2,
  })) as [ScreenSegment, ScreenSegment, ScreenSegment];
  expect(takenBack([kept, gone, settled], [{ ...kept, text: 'Hm, yes.', is_final: true }])).toEqual([gone]);
});

describe('losses', () => {
  const gap = (start_ms: number, end_ms: number, cause = 'connection-lost', track_id = 't') => ({
    track_id,
    start_ms,
    end_ms,
    cause,
  });

  it('are one where a line stutters, for each track and cause', () => {
    const gaps = [gap(0, 200), gap(0, 300, 'connection-lost', 'u'), gap(1000, 1300), gap(9000, 9500)];
    expect(lossesOf(gaps)).toMatchObject([
      { track_ids: ['t'], start_ms: 0, end_ms: 1300, lost_ms: 500, places: 2 },
      { track_ids: ['u'], lost_ms: 300, places: 1 },
      { track_ids: ['t'], start_ms: 9000, places: 1 },
    ]);
    expect(gaps[0]).toEqual(gap(0, 200));
  });

  it('leave out what is too short for a word, but not what has no length', () => {
    expect(lossesOf([gap(0, 120), gap(5000, 5000, 'recogniser-failed')])).toMatchObject([
      { start_ms: 5000, lost_ms: 0 },
    ]);
  });

  it('are told once where several tracks lack the same', () => {
    const both = [gap(0, 2000), gap(0, 2000, 'connection-lost', 'u'), gap(0, 2000, 'missing', 'u')];
    const [first, second] = lossesOf(both);
    expect(first).toMatchObject({ track_ids: ['t', 'u'], lost_ms: 2000 });
    expect(sideOf(first as Loss, () => 'Agent')).toBe('both sides');
    expect(sideOf(second as Loss, (id) => id)).toBe('u');
    expect(placesOf(both)).toHaveLength(2);
    const others = both
      .filter(({ cause }) => cause !== 'missing')
      .map((one) => ({ ...one, start_ms: 8000, end_ms: 8250 }));
    expect(rowsOf({ segments: [], gaps: others, speakers: {} }, 'en')).toHaveLength(1);
  });

  it('of less than a second are no lost connection', () => {
    const why = (...gaps: ReturnType<typeof gap>[]) => lossesOf(gaps).map(causeOf);
    expect(why(gap(0, 250), gap(2000, 2900))).toEqual(['a short break in the audio']);
    expect(why(gap(0, 1000))).toEqual(['connection lost']);
    expect(why(gap(0, 500, 'silence'))).toEqual(['silence']);
  });

  it('keep each hold apart', () => {
    expect(lossesOf([gap(0, 4000, 'hold'), gap(5000, 9000, 'hold')])).toHaveLength(2);
  });
});
