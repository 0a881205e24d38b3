import { describe, expect, it } from 'vitest';
import type { LiveEvent, Pause, Peaks, Recording, Role, Side, Track, Word } from '../src/api/types';
import { holesOf } from '../src/components/recording/holes';
import { lanesOf } from '../src/components/recording/lanes';
import { barsOf, heightOf, quietSpans } from '../src/components/recording/peaks';
import { Playback, type Sound } from '../src/components/recording/playback';
import { annotate } from '../src/components/transcript/annotate';
import { type Loss, lossesOf, placesOf } from '../src/components/transcript/losses';
import { rowsOf } from '../src/components/transcript/rows';
import { spokenRow, spokenWord } from '../src/components/transcript/spoken';
import { applyAll, emptyCall } from '../src/state/call';
import { NOT_RECORDED, recordingAfter, recordingTakenUp } from '../src/state/recording';
import { putRole, type RoleChange } from '../src/state/speakers';
import { CALL_ID, EVENTS, segment } from './fixtures/call';

const told = (type: LiveEvent['type'], data: object) =>
  ({ id: 'x', type, call_id: CALL_ID, at: '2026-03-02T09:00:00Z', data }) as LiveEvent;
const on: Recording = { ...NOT_RECORDED, state: 'on', recording_id: 'r' };
const heard = (known: Recording | null, ...events: LiveEvent[]) => events.reduce(recordingAfter, known);
const paused = (at_ms: number) => told('recording.paused', { at_ms });
const resumed = (at_ms: number) => told('recording.resumed', { at_ms });
const saved = told('recording.saved', { recording_id: 'r', duration_ms: 9000, format: 'opus', bytes: 1 });

describe('what is known of a recording', () => {
  it('follows pauses, whatever is told twice', () => {
    expect(heard(on, paused(1000))).toMatchObject({
      state: 'paused',
      pauses: [{ start_ms: 1000, end_ms: null }],
    });
    const twice = heard(on, paused(1000), resumed(2000), paused(1000), resumed(2000), paused(5000));
    expect(twice?.state).toBe('paused');
    expect(twice?.pauses).toEqual([
      { start_ms: 1000, end_ms: 2000 },
      { start_ms: 5000, end_ms: null },
    ]);
    expect(heard(twice, paused(1000), resumed(2000))?.pauses).toEqual(twice?.pauses);
  });

  it('is being written once the call has ended, then saved, with its last pause closed', () => {
    const ended = heard(on, paused(8000), told('call.ended', { duration_ms: 9000 }));
    expect(ended?.state).toBe('writing');
    expect(heard(ended, saved)).toEqual({
      state: 'saved',
      recording_id: 'r',
      duration_ms: 9000,
      format: 'opus',
      pauses: [{ start_ms: 8000, end_ms: 9000 }],
      reason: null,
    });
  });

  it('says why it failed, and why a part is missing', () => {
    const failed = heard(on, told('recording.failed', { recording_id: 'r', reason: 'disk-full' }));
    expect(failed).toMatchObject({ state: 'failed', reason: 'disk-full' });
    expect(heard(failed, paused(10))?.state).toBe('failed');
    const { data } = saved;
    expect(heard(failed, told('recording.saved', { ...data, reason: 'disk-full' } as object))).toMatchObject({
      state: 'saved',
      reason: 'disk-full',
    });
  });

  it('stays what it is for other events, and a call that is not recorded stays so', () => {
    expect(heard(on, told('gap', {}))).toBe(on);
    expect(heard(NOT_RECORDED, told('call.ended', {}))).toBe(NOT_RECORDED);
    expect(heard(null, told('call.ended', {}))).toBeNull();
  });

  it('goes on with a call that comes back', () => {
    expect(recordingTakenUp({ ...on, state: 'saved' })?.state).toBe('on');
    expect(recordingTakenUp({ ...on, state: 'failed' })?.state).toBe('failed');
    const again = told('call.started', {});
    again.at = '2026-03-02T10:00:00Z';
    expect(applyAll(emptyCall(CALL_ID), [...EVENTS, saved, again]).recording?.state).toBe('on');
  });
});

describe('the waveform', () => {
  it('draws how loud each part is', () => {
    const near = (bars: number[]) => bars.map((bar) => Math.round(bar * 100) / 100);
    expect(near(barsOf([0.1, 0.5, 0.2, 0.8], 100, 400, 2))).toEqual([0.3, 0.5]);
    expect(near(barsOf([0.1, 0.5], 100, 200, 4))).toEqual([0.1, 0.1, 0.5, 0.5]);
  });

  it('leaves empty what the peaks do not reach, and is never longer than asked', () => {
    expect(barsOf([1], 100, 400, 4)).toEqual([1, 0, 0, 0]);
    expect(barsOf([1, 1, 1, 1, 1], 100, 400, 2)).toEqual([1, 1]);
    expect(barsOf([1], 100, 0, 3)).toEqual([0, 0, 0]);
    expect(barsOf([], 0, 100, 2)).toEqual([0, 0]);
  });

  it('does not blow up a line that is silent', () => {
    expect(heightOf(0, 0)).toBe(0);
    expect(heightOf(0.0005, 0.0005)).toBeLessThan(0.2);
    expect(heightOf(0.4, 0.4)).toBe(1);
  });

  it('finds silence of both parties, long enough to leave out', () => {
    const step_ms = 100;
    const left = [...new Array(10).fill(0.5), ...new Array(30).fill(0), ...new Array(10).fill(0.5)];
    const right = [...new Array(15).fill(0.4), ...new Array(20).fill(0), ...new Array(15).fill(0)];
    const peaks: Peaks = { duration_ms: 5000, step_ms, left, right };
    expect(quietSpans(peaks)).toEqual([{ start_ms: 1800, end_ms: 3700 }]);
    expect(quietSpans({ ...peaks, right: new Array(50).fill(0.4) })).toEqual([]);
  });
});

it('holes are the pauses and the gaps, named, by time and within the recording', () => {
  const state = applyAll(emptyCall(CALL_ID), EVENTS);
  const pauses: Pause[] = [
    { start_ms: 8000, end_ms: null, reason: 'asked' },
    { start_ms: 1000, end_ms: 2000, reason: 'slow-disk' },
    { start_ms: 20_000, end_ms: 30_000 },
  ];
  expect(holesOf({ ...state, losses: lossesOf(state.gaps), pauses }, 12_000)).toMatchObject([
    { kind: 'gap', lane: 'both', name: 'Not recorded', why: 'Slow disk', start_ms: 1000, end_ms: 2000 },
    { kind: 'gap', lane: 'left', name: 'Audio missing', start_ms: 4000, end_ms: 6400 },
    { kind: 'pause', lane: 'both', name: 'Recording paused', start_ms: 8000, end_ms: 12_000 },
  ]);
});

it('a hole of both lanes is one, and says how much is missing, not from when to when', () => {
  const state = applyAll(emptyCall(CALL_ID), EVENTS);
  const gaps = [1000, 4000].flatMap((start_ms) =>
    ['track-customer', 'track-agent'].map((track_id) => ({
      track_id,
      start_ms,
      end_ms: start_ms + 250,
      cause: 'connection-lost',
    })),
  );
  const holes = (losses: Loss[]) => holesOf({ ...state, losses, pauses: [] }, 12_000);
  expect(holes(lossesOf(gaps))).toMatchObject([
    { name: 'Short break', lane: 'both', start_ms: 1000, end_ms: 4250, lost_ms: 500 },
  ]);
  expect(holes(placesOf(gaps))).toMatchObject([
    { lane: 'both', start_ms: 1000, end_ms: 1250 },
    { lane: 'both', start_ms: 4000, end_ms: 4250, why: 'Both sides: a short break in the audio' },
  ]);
});

class FakeSound extends EventTarget {
  currentTime = 0;
  paused = true;
  ended = false;
  playbackRate = 1;

  play = async () => {
    this.paused = false;
    this.dispatchEvent(new Event('play'));
  };

  pause = () => {
    this.paused = true;
    this.dispatchEvent(new Event('pause'));
  };
}

function played() {
  const sound = new FakeSound();
  const frames: (() => void)[] = [];
  const playback = new Playback({ request: (callback) => frames.push(callback), cancel: () => frames.pop() });
  const detach = playback.attach(sound as unknown as Sound);
  return { sound, playback, detach, frames, draw: () => frames.shift()?.() };
}

describe('playback', () => {
  it('tells at each frame while it plays, and not after', () => {
    const { sound, playback, draw, frames } = played();
    let told = 0;
    playback.subscribe(() => {
      told += 1;
    });
    playback.toggle();
    expect(playback.playing).toBe(true);
    const before = told;
    draw();
    draw();
    expect(told).toBe(before + 2);
    playback.toggle();
    expect(sound.paused).toBe(true);
    expect(frames).toEqual([]);
  });

  it('begins where it is told to, never before the start', () => {
    const { sound, playback } = played();
    expect(playback.begun).toBe(false);
    playback.playFrom(2500);
    expect([sound.currentTime, playback.timeMs, playback.playing, playback.begun]).toEqual([
      2.5,
      2500,
      true,
      true,
    ]);
    playback.seek(-10);
    expect(sound.currentTime).toBe(0);
  });

  it('leaves out silence only when asked', () => {
    const { sound, playback, draw } = played();
    playback.quiet = [{ start_ms: 1000, end_ms: 4000 }];
    playback.playFrom(1500);
    draw();
    expect(sound.currentTime).toBe(1.5);
    playback.skipsSilence = true;
    draw();
    expect(sound.currentTime).toBe(4);
  });

  it('is silent once it is let go', () => {
    const { sound, playback, detach } = played();
    playback.toggle();
    detach();
    expect(sound.paused).toBe(true);
    playback.playFrom(1000);
    expect([sound.currentTime, playback.playing, playback.timeMs]).toEqual([0, false, 0]);
  });
});

describe('the word being spoken', () => {
  const words: Word[] = [
    { w: 'good', start_ms: 1000, end_ms: 1300, p: 1 },
    { w: 'morning', start_ms: 1400, end_ms: 1900, p: 1 },
  ];

  it('holds over short breaths, not over silence', () => {
    const at = [900, 1000, 1350, 1400, 2000, 3000];
    expect(at.map((ms) => spokenWord(words, ms))).toEqual([-1, 0, 0, 1, 1, -1]);
  });

  it('is found in the text, and so are all words', () => {
    const spans = annotate('Good morning!', words, { query: 'mor', everyWord: true });
    expect(spans.map(({ text, word }) => [text, word])).toEqual([
      ['Good', 0],
      [' ', null],
      ['mor', 1],
      ['ning!', 1],
    ]);
    expect(annotate('Good morning!', words).map(({ text, word }) => [text, word])).toEqual([
      ['Good morning!', null],
    ]);
  });

  it('belongs to the row that began last, never to a gap', () => {
    const segments = [segment('agent', 0, 1000, 'One'), segment('customer', 0, 5000, 'Two')].map((s) => ({
      ...s,
      is_final: true,
    }));
    const gaps = [{ track_id: 't', start_ms: 2000, end_ms: 3000, cause: 'x' }];
    const rows = rowsOf({ segments, gaps, speakers: {} }, 'en');
    expect([0, 1500, 2500, 6000].map((ms) => spokenRow(rows, ms))).toEqual([-1, 0, 0, 2]);
  });
});

describe('whose the lanes of a recording are', () => {
  const track = (
    id: string,
    role: Role,
    { mixed = false, side = (role === 'customer' ? 'left' : 'right') as Side } = {},
  ): [string, Track] => [
    id,
    { id, leg_id: 'leg', role, side, label: id, speaker: id, closed: true, mixed, language: null },
  ];
  const lanes = (...tracks: [string, Track][]) => lanesOf(Object.fromEntries(tracks));

  it('the customer is above and the agent below', () => {
    expect(lanes(track('one', 'customer'), track('two', 'agent'))).toEqual(['customer', 'agent']);
    expect(lanes()).toEqual(['customer', 'agent']);
  });

  it('nobody in particular has the lane of a track that several share, and the empty one has no name', () => {
    expect(lanes(track('room', 'unknown', { mixed: true }))).toEqual([null, 'unknown']);
    expect(lanes(track('line', 'customer', { mixed: true }))).toEqual(['unknown', null]);
    expect(lanes(track('line', 'customer'), track('room', 'unknown', { mixed: true }))).toEqual([
      'customer',
      'unknown',
    ]);
  });

  it('follows who speaks there now, where a person has put the roles right', () => {
    const [one, two] = [track('one', 'agent', { side: 'left' }), track('two', 'customer', { side: 'right' })];
    expect(lanes(one, two)).toEqual(['agent', 'customer']);
    expect(lanes(one)).toEqual(['agent', null]);
    const guessed = applyAll(emptyCall(CALL_ID), EVENTS);
    const changes: RoleChange[] = [
      { trackId: 'track-customer', speaker: 'SPEAKER_00', role: 'agent' },
      { trackId: 'track-agent', speaker: 'SPEAKER_01', role: 'customer' },
    ];
    const swapped = changes.reduce(putRole, guessed);
    expect(lanesOf(swapped.tracks)).toEqual(['agent', 'customer']);
    expect(holesOf({ ...swapped, losses: placesOf(swapped.gaps), pauses: [] }, 12_000)[0]?.lane).toBe('left');
  });
});
