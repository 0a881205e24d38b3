import { describe, expect, it } from 'vitest';
import type { Phrase } from '../src/api/types';
import { faultIn, newPhrases, PHRASES_MAX, phrasesOf, respelled } from '../src/components/vocabulary/draft';

const phrase = (text: string, queue_id: string | null = null): Phrase => ({
  id: text,
  phrase: text,
  queue_id,
  created_at: '2026-03-02T09:00:00Z',
});

describe('phrases that are pasted', () => {
  it('are one a line, whatever the line ends in', () => {
    expect(phrasesOf(' Platinum  Motors\r\n\nDr. Weiß\rVin Diesel\t GmbH \n  ')).toEqual([
      'Platinum Motors',
      'Dr. Weiß',
      'Vin Diesel GmbH',
    ]);
  });

  it('that differ in nothing but case are one, as it was spelled first', () => {
    expect(phrasesOf('iPhone\nIPHONE\niphone\niPad')).toEqual(['iPhone', 'iPad']);
  });

  it('are new unless they stand there for the same calls in the same spelling', () => {
    const known = [phrase('iPhone'), phrase('iPad', 'q')];
    expect(newPhrases(['iPhone', 'iPad', 'IPHONE'], known, null)).toEqual(['iPad', 'IPHONE']);
    expect(newPhrases(['iPhone', 'iPad'], known, 'q')).toEqual(['iPhone']);
  });
});

describe('phrases that will not do', () => {
  it('are named', () => {
    expect(faultIn(['fine', 'x'.repeat(101)], [], null)).toContain('“xxxxxxxxxxxxxxxxxxxxxxxx…” is longer');
    expect(faultIn(['fine', '—'], [], null)).toBe('“—” has neither letters nor digits');
    expect(faultIn(['7', 'Größe', '東京', '😀'.repeat(50).concat('a')], [], null)).toBeNull();
  });

  it('are counted against the room there is', () => {
    const many = (count: number) => Array.from({ length: count }, (_, at) => phrase(`Phrase ${at}`));
    expect(faultIn(['a', 'b'], many(PHRASES_MAX - 2), null)).toBeNull();
    expect(faultIn(['a', 'b'], many(PHRASES_MAX - 1), null)).toBe(
      'There is room for 1 more, and these are 2',
    );
    expect(faultIn(['a'], many(PHRASES_MAX), null)).toContain('remove some first');
    expect(faultIn(['PHRASE 7'], many(PHRASES_MAX), null)).toBeNull();
    expect(faultIn(['PHRASE 7'], many(PHRASES_MAX), 'a queue')).toContain('remove some first');
  });

  it('are told when they are there in another case, for the same calls', () => {
    const known = [phrase('Zyrvana'), phrase('Portalis', 'a queue')];
    expect(respelled(['ZYRVANA', 'portalis', 'Lumenthal'], known, null)).toEqual(['ZYRVANA']);
    expect(respelled(['ZYRVANA', 'portalis'], known, 'a queue')).toEqual(['portalis']);
  });
});
