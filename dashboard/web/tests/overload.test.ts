import { describe, expect, it } from 'vitest';
import { overloadWords } from '../src/components/overload';

describe('words for overload', () => {
  it('says what each step leaves out', () => {
    const said = [1, 2, 3, 4].map((step) => overloadWords(`overload-${step}`));
    expect(new Set(said).size).toBe(4);
    expect(said).toEqual([1, 2, 3, 4].map(overloadWords));
    expect(said[2]).toContain('analysis wait');
  });

  it('has words for a step that a newer server may tell', () => {
    expect(overloadWords('overload-9')).toContain('late');
  });

  it('leaves everything else alone', () => {
    expect([0, 'asr', 'overload', 'overload-x', 'redis'].map(overloadWords)).toEqual(Array(5).fill(null));
  });
});
