import { describe, expect, it } from 'vitest';
import type { LiveEvent } from '../src/api/types';
import { rowsOf } from '../src/components/transcript/rows';
import { turnsOf } from '../src/components/transcript/turns';
import { applyAll, applyEvent, type CallState, emptyCall, fromSnapshot } from '../src/state/call';
import { isGuess, isMixed, partiesOf, putRole, sidesOf } from '../src/state/speakers';
import { CALL_ID, snapshotAfter } from './fixtures/call';
import { heard, MIXED, speakers, TRACK } from './fixtures/mixed';

const snapshotOf = (count: number) =>
  fromSnapshot({ ...snapshotAfter(MIXED.slice(0, count)), recording: null });
const after = (count: number) => applyAll(emptyCall(CALL_ID), MIXED.slice(0, count));
const replayed = after(MIXED.length);
const told = MIXED.map((event) => event.type);
const upTo = (type: LiveEvent['type'], nth: number) =>
  after(told.flatMap((one, at) => (one === type ? at + 1 : []))[nth] ?? Number.NaN);
const rolesIn = ({ segments }: CallState) => segments.map(({ role }) => role);
const lines = (state: CallState) =>
  rowsOf(state, 'en').map((row) =>
    row.type === 'gap' ? 'gap' : `${row.head ? `${row.segment.role}: ` : ''}${row.segment.text.trim()}`,
  );

describe('a snapshot and the events after it equal all events replayed', () => {
  it.each(MIXED.map((_, cut) => cut))('cut after %i events', (cut) => {
    const started = cut === 0 ? emptyCall(CALL_ID) : snapshotOf(cut);
    expect(applyAll(started, MIXED.slice(cut))).toEqual(replayed);
  });

  it('also when every event comes twice', () => {
    expect(
      applyAll(
        emptyCall(CALL_ID),
        MIXED.flatMap((event) => [event, event]),
      ),
    ).toEqual(replayed);
  });

  it('also when two tellings of the speakers come in the wrong order', () => {
    const at = (revision: number) =>
      MIXED.findIndex((event) => event.type === 'speakers' && event.data.revision === revision);
    const [guess, person] = [MIXED[at(2)], MIXED[at(3)]];
    expect(at(3)).toBe(at(2) + 1);
    const events = MIXED.toSpliced(at(2), 2, person as LiveEvent, guess as LiveEvent);
    expect(applyAll(emptyCall(CALL_ID), events.slice(0, at(3) + 1))).toEqual(after(at(3) + 1));
    expect(applyAll(emptyCall(CALL_ID), events)).toEqual(replayed);
  });

  it('also when a segment is told again as it stood at an earlier revision', () => {
    const stale = heard(1, 'My bill is wrong. Let me look.', { role: 'customer', speakers_revision: 2 });
    const event = { id: 'x', type: 'segment.final', call_id: CALL_ID, at: '', data: stale } as LiveEvent;
    expect(applyEvent(replayed, event)).toEqual(replayed);
  });

  it('also when what the snapshot shows already is told again', () => {
    for (let cut = 3; cut <= MIXED.length; cut += 1) {
      const state = snapshotOf(cut);
      expect(applyAll(state, MIXED.slice(cut - 3))).toEqual(replayed);
    }
  });
});

describe('speakers on a mixed track', () => {
  it('are nobody in particular until they are told apart', () => {
    expect(upTo('segment.final', 0).segments).toMatchObject([{ role: 'unknown' }]);
    expect(rolesIn(upTo('speakers', 0))).toEqual(['agent']);
  });

  it('take all their lines along when somebody else corrects a role', () => {
    const [before, corrected] = [upTo('speakers', 1), upTo('speakers', 2)];
    expect(rolesIn(before)).toEqual(['agent', 'customer']);
    expect(rolesIn(corrected)).toEqual(['customer', 'agent']);
    const event = { id: 'x', type: 'speakers', call_id: CALL_ID, at: '' } as const;
    const data = {
      track_id: TRACK,
      revision: 9,
      speakers: speakers(['supervisor', 'person'], ['customer', 'guess']),
      segments: [],
    };
    expect(rolesIn(applyEvent(before, { ...event, data }))).toEqual(['supervisor', 'customer']);
  });

  it('change their role at once where somebody says so here, and the segments with it', () => {
    const before = upTo('speakers', 1);
    const changed = putRole(before, { trackId: TRACK, speaker: 'SPEAKER_00', role: 'supervisor' });
    expect(rolesIn(changed)).toEqual(['supervisor', 'customer']);
    expect(changed.speakers[TRACK]?.map(isGuess)).toEqual([false, true]);
    expect(rolesIn(before)).toEqual(['agent', 'customer']);
  });

  it('of a track that nobody has told apart cannot be changed', () => {
    const state = after(3);
    expect(putRole(state, { trackId: TRACK, speaker: 'SPEAKER_00', role: 'agent' })).toBe(state);
  });

  it('leave other tracks alone', () => {
    const other = heard(0, 'Hello.', { segment_id: 'other', track_id: 'other', role: 'agent' });
    const event = { id: 'x', type: 'segment.final', call_id: CALL_ID, at: '', data: other } as LiveEvent;
    const [kept] = applyAll(emptyCall(CALL_ID), [event, ...MIXED]).segments.filter(
      ({ track_id }) => track_id === 'other',
    );
    expect(kept).toEqual({ ...other, is_final: true });
  });
});

describe('two sides', () => {
  it('are two people of different roles', () => {
    expect(sidesOf(speakers(['agent', 'guess'], ['unknown', 'guess']))).toHaveLength(2);
    expect(sidesOf(speakers(['agent', 'guess'], ['agent', 'person']))).toBeNull();
    expect(sidesOf(speakers(['agent', 'guess']))).toBeNull();
  });

  it('are the agent and the customer where there are more', () => {
    const three = speakers(['customer', 'guess'], ['unknown', 'guess'], ['agent', 'guess']);
    expect(sidesOf(three)?.map(({ role }) => role)).toEqual(['customer', 'agent']);
    expect(
      sidesOf(speakers(['agent', 'guess'], ['agent', 'guess'], ['customer', 'guess'], ['unknown', 'guess'])),
    ).toBeNull();
  });
});

describe('turns', () => {
  const people = speakers(['agent', 'guess'], ['customer', 'guess']);
  const [A, B] = ['SPEAKER_00', 'SPEAKER_01'];
  const spoken = (text: string, labels: (string | null)[]) => {
    const segment = { ...heard(0, text), is_final: true };
    const words = segment.words?.map((word, at) => ({ ...word, speaker: labels[at] ?? null }));
    return { ...segment, ...(words && { words }) };
  };

  it('begin where the speaker changes, and lose no letter', () => {
    const segment = spoken('My bill is wrong. Let me look. Thanks!', [B, B, B, B, A, A, A, B]);
    const turns = turnsOf(segment, people);
    expect(turns.map(({ role, text }) => [role, text])).toEqual([
      ['customer', 'My bill is wrong. '],
      ['agent', 'Let me look. '],
      ['customer', 'Thanks!'],
    ]);
    expect(turns.map(({ start_ms }) => start_ms)).toEqual([0, 4000, 7000]);
    expect(turns.map(({ words }) => words?.length)).toEqual([4, 3, 1]);
    expect(new Set(turns.map(({ segment_id }) => segment_id)).size).toBe(1);
  });

  it('of words that were cleaned away are none', () => {
    const segment = spoken('uh My bill', [A, B, B]);
    expect(turnsOf({ ...segment, text: 'My bill' }, people).map(({ role, text }) => [role, text])).toEqual([
      ['customer', 'My bill'],
    ]);
  });

  it('of a single speaker are the segment itself', () => {
    const segment = { ...heard(0, 'Hello there.'), is_final: true };
    expect(turnsOf(segment, people)).toEqual([segment]);
  });

  it('are rows of their own, each with a head', () => {
    expect(lines(upTo('speakers', 1))).toEqual([
      'agent: Thank you for calling.',
      'customer: My bill is wrong.',
      'agent: Let me look.',
    ]);
    expect(lines(replayed)).toEqual([
      'customer: Thank you for calling.',
      'agent: My bill is wrong. Let me look.',
      'customer: Thank you.',
    ]);
  });

  it('go on where they are until it is told who speaks', () => {
    const state = upTo('segment.final', 2);
    const rows = rowsOf(state, 'en').flatMap((row) => (row.type === 'segment' ? row : []));
    expect(rows.map(({ key, head, waits }) => [key, head, waits])).toEqual([
      ['mixed-0', true, false],
      ['mixed-1', true, false],
      ['mixed-1/1', true, false],
      ['mixed-2', false, true],
    ]);
  });
});

describe('the parties of a call that another system carries', () => {
  const opened = (track_id: string, role: string, speaker: string): LiveEvent =>
    ({
      id: track_id,
      type: 'track.opened',
      call_id: CALL_ID,
      at: '',
      data: { track_id, leg_id: `leg of ${track_id}`, role, label: '1', speaker, mixed: false },
    }) as LiveEvent;
  const said = {
    id: 's',
    type: 'segment.final',
    call_id: CALL_ID,
    at: '',
    data: { ...heard(0, 'Hello.', {}), track_id: 't1' },
  };
  const recorded = (door: string) => {
    const state = applyAll(emptyCall(CALL_ID), [
      opened('t1', 'customer', 'SPEAKER_00'),
      opened('t2', 'agent', 'SPEAKER_01'),
      said as LiveEvent,
    ]);
    return { ...state, call: { ...state.call, door } };
  };

  it('are guessed by some doors, and known by others', () => {
    expect(partiesOf(recorded('siprec')).map(({ speaker }) => [speaker.role, speaker.source])).toEqual([
      ['customer', 'guess'],
      ['agent', 'guess'],
    ]);
    expect(partiesOf(recorded('file'))).toHaveLength(2);
    expect(partiesOf(recorded('twilio'))).toEqual([]);
  });

  it('are what a person says, and so is all that they said', () => {
    const state = putRole(recorded('siprec'), { trackId: 't1', speaker: 'SPEAKER_00', role: 'agent' });
    expect(partiesOf(state)[0]?.speaker).toEqual({ speaker: 'SPEAKER_00', role: 'agent', source: 'person' });
    expect(rolesIn(state)).toEqual(['agent']);
    expect(state.tracks.t1?.role).toBe('agent');
    expect(isMixed(state, 't1')).toBe(false);
  });
});
