import { describe, expect, it } from 'vitest';
import type { Phrase } from '../src/api/types';
import { faultIn, newPhrases, PHRASES_MAX, phrasesOf } from '../src/components/vocabulary/draft';

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
    expect(faultIn(['fine', 'x'.repeat(101)], 0)).toContain('“xxxxxxxxxxxxxxxxxxxxxxxx…” is longer');
    expect(faultIn(['fine', '—'], 0)).toBe('“—” has neither letters nor digits');
    expect(faultIn(['7', 'Größe', '東京', '😀'.repeat(50).concat('a')], 0)).toBeNull();
  });

  it('are counted against the room there is', () => {
    expect(faultIn(['a', 'b'], PHRASES_MAX - 2)).toBeNull();
    expect(faultIn(['a', 'b'], PHRASES_MAX - 1)).toBe('There is room for 1 more, and these are 2');
    expect(faultIn(['a'], PHRASES_MAX)).toContain('remove some first');
  });
});
