import { describe, expect, test } from 'vitest';
import { Sha256 } from '../src/imports/sha256';

const hexOf = (...pieces: Uint8Array[]) => {
  const sha = new Sha256();
  for (const piece of pieces) sha.update(piece);
  return sha.hex();
};
const text = (words: string) => new TextEncoder().encode(words);

describe('sha256', () => {
  test('the examples of FIPS 180', () => {
    expect(hexOf(text(''))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(hexOf(text('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(hexOf(text('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'))).toBe(
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    );
  });

  test('any length, in any pieces, is what another implementation says', async () => {
    for (const length of [1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000]) {
      const data = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 255);
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
      const wanted = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
      expect(hexOf(data)).toBe(wanted);
      const cut = Math.floor(length / 3);
      expect(hexOf(data.subarray(0, cut), data.subarray(cut, 2 * cut), data.subarray(2 * cut))).toBe(wanted);
    }
  });
});
