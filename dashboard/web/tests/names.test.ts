import { describe, expect, it } from 'vitest';
import type { Leg, Role } from '../src/api/types';
import { callName, callNumbers, partyNames } from '../src/names';
import { emptyCall } from '../src/state/call';

const legs = (...known: [Role, string | null][]) =>
  Object.fromEntries(
    known.map(([role, name], at): [string, Leg] => [
      `${at}`,
      { id: `${at}`, role, name, joined_at: null, left_at: null },
    ]),
  );

describe('who is in a call', () => {
  const call = { ...emptyCall('c').call, door: 'siprec', from_number: '2001', to_number: '2002' };

  it('is named once, whose number is the name of the call among them', () => {
    expect([callName(call), callNumbers(call)]).toEqual(['2001', '2002']);
    expect(partyNames(call, legs(['customer', '2001'], ['agent', '2002']))).toEqual([]);
    expect(partyNames(call, legs(['customer', '2001'], ['agent', 'Jack'], ['agent', 'Jack']))).toEqual([
      'Jack',
    ]);
  });

  it('is nobody who only listens', () => {
    expect(partyNames(call, legs(['supervisor', 'Ann'], ['customer', null]))).toEqual([]);
  });
});
