import { describe, expect, it } from 'vitest';
import type { System } from '../src/api/types';
import { rowsOf } from '../src/components/transcript/rows';
import { languageName, languagesOf, tongueOf, usualLanguage } from '../src/languages';
import { applyAll, emptyCall } from '../src/state/call';
import { CALL_ID, segment } from './fixtures/call';
import { MIXED, TRACK } from './fixtures/mixed';

const system = (more: Partial<System>): System => ({
  asr: [],
  llm: { provider: 'none', model: null, state: 'off' },
  version: '1',
  ...more,
});

describe('the usual language', () => {
  it('is what the recognisers are set to', () => {
    expect(usualLanguage(system({ language: 'de' }))).toBe('de');
  });

  it.each([
    ['they find out for themselves', system({ language: 'auto' })],
    ['an older server does not tell', system({})],
    ['nothing is known yet', undefined],
  ])('is that of the pages where %s', (_, told) => {
    expect(usualLanguage(told)).toBe('en');
  });
});

describe('names', () => {
  it('are in words where a code has any', () => {
    expect(['es', 'de', 'yue'].map(languageName)).toEqual(['Spanish', 'German', 'Cantonese']);
    expect(languageName('not a code')).toBe('not a code');
  });

  it('leave out what tells of no language', () => {
    expect(['pt-BR', 'EN_gb', 'auto', 'und', '', null].map(tongueOf)).toEqual(['pt', 'en', '', '', '', '']);
  });
});

describe('in a transcript', () => {
  const line = (party: 'agent' | 'customer', seq: number, language: string, is_final = true) => ({
    ...segment(party, seq, seq * 1000 + (party === 'agent' ? 1 : 0), 'words'),
    language,
    is_final,
  });
  const told = (segments: ReturnType<typeof line>[], usual = 'en') =>
    rowsOf({ segments, gaps: [], speakers: {} }, usual).map((row) =>
      row.type === 'segment' ? `${row.language ?? ''}${row.head ? '!' : ''}` : 'gap',
    );

  it('the usual one goes without saying', () => {
    expect(told([line('agent', 0, 'en'), line('agent', 1, 'en-GB'), line('agent', 2, '')])).toEqual([
      '!',
      '',
      '',
    ]);
  });

  it('another is told once, with a head of its own, and so is the way back', () => {
    const segments = ['en', 'es', 'es', 'en', 'en'].map((language, seq) => line('agent', seq, language));
    expect(told(segments)).toEqual(['!', 'es!', '', 'en!', '']);
    expect(told(segments, 'es')).toEqual(['en!', 'es!', '', 'en!', '']);
  });

  it('each track has its own', () => {
    const segments = [line('customer', 0, 'es'), line('agent', 0, 'en'), line('customer', 1, 'es')];
    expect(told(segments)).toEqual(['es!', '!', '!']);
  });

  it('a partial does not tell of one, for that may be wrong', () => {
    expect(told([line('agent', 0, 'en'), line('agent', 1, 'cy', false)])).toEqual(['!', '']);
  });
});

it('a track has the language that was found last', () => {
  const found = applyAll(emptyCall(CALL_ID), MIXED.slice(0, 4));
  expect(found.tracks[TRACK]?.language).toBe('es');
  expect(languagesOf(found)).toEqual(['es']);
  expect(languagesOf(applyAll(emptyCall(CALL_ID), MIXED))).toEqual(['en']);
});
