import { expect, it } from 'vitest';
import { ago, clock, dueDate, plural, signed, span, words } from '../src/format';

it.each([
  [0, '00:00'],
  [61_900, '01:01'],
  [3_600_000, '1:00:00'],
  [-500, '00:00'],
])('clock(%i) is %s', (ms, text) => expect(clock(ms)).toBe(text));

it.each([
  [2_400, '2.4 s'],
  [3_000, '3 s'],
  [38_200, '38 s'],
  [180_000, '3 min'],
])('span(%i) is %s', (ms, text) => expect(span(ms)).toBe(text));

it.each([
  [0, 'just now'],
  [5_000, '5 s ago'],
  [125_000, '2 min ago'],
  [7_300_000, '2 h ago'],
])('ago after %i ms is %s', (ms, text) => expect(ago(1_000_000, 1_000_000 + ms)).toBe(text));

it('labels, scores, counts and dates become words', () => {
  expect(words('billing_dispute')).toBe('Billing dispute');
  expect([signed(0.42), signed(0.01), signed(-0.7)]).toEqual(['+0.4', '0.0', '\u22120.7']);
  expect([plural(1, 'line'), plural(2, 'line')]).toEqual(['1 line', '2 lines']);
  expect(dueDate('tomorrow')).toBe('tomorrow');
  expect(dueDate('2026-03-03')).toMatch(/3/);
});
