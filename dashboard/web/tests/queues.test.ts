import { describe, expect, it } from 'vitest';
import type { Queue } from '../src/api/types';
import { draftOf, faultsOf, faultyField, fieldsOf } from '../src/components/queues/draft';
import { faultOf } from '../src/faults';

const QUEUE: Queue = {
  id: 'q',
  is_default: false,
  name: 'Service',
  numbers: ['+442071838750'],
  mode: 'connect',
  dial: null,
  greeting: null,
  music: true,
  consent: true,
  recorded: true,
  ring_s: 20,
  max_wait_s: 300,
  max_waiting: 50,
  on_timeout: 'callback',
  overflow_to: null,
  overflow_after_s: 60,
  agents: ['a'],
};

describe('a queue that is edited', () => {
  it.each([
    QUEUE,
    { ...QUEUE, mode: null, greeting: '', dial: 'client:ann', overflow_to: 'other' },
    { ...QUEUE, mode: 'listen' as const, greeting: 'Hello.' },
  ])('is sent as it was when nothing was changed', (queue) => {
    const { id: _id, is_default: _default, ...fields } = queue;
    expect(fieldsOf(draftOf(queue))).toEqual(fields);
  });

  it('keeps words that are not to be spoken to itself', () => {
    const draft = { ...draftOf({ ...QUEUE, greeting: 'Hello.' }), greeting: 'shipped' as const };
    expect(fieldsOf(draft).greeting).toBeNull();
    expect(fieldsOf({ ...draft, greeting: 'none' }).greeting).toBe('');
  });

  it('takes numbers as people write them', () => {
    const draft = { ...draftOf(QUEUE), numbers: ['+44 20 7183 8750, +44 1604', ' ;'], ring_s: '25' };
    expect(fieldsOf(draft)).toMatchObject({ numbers: ['+44 20 7183 8750', '+44 1604'], ring_s: 25 });
  });

  it('needs a name, words to speak and numbers', () => {
    expect(faultsOf(draftOf(QUEUE))).toEqual({});
    expect(Object.keys(faultsOf({ ...draftOf(null), greeting: 'own', words: ' ', ring_s: '' }))).toEqual([
      'name',
      'greeting',
      'ring_s',
    ]);
  });
});

describe('a refusal', () => {
  it('belongs to the field that it names', () => {
    expect(faultyField('ring_s')).toBe('ring_s');
    expect([faultyField('body'), faultyField(''), faultyField('toString')]).toEqual([null, null, null]);
  });

  it.each([
    ['ring_s', 'ring_s: Expected `int` >= 5 - at `$.ring_s`', 'At least 5'],
    ['name', 'name: Expected `str` of length <= 80 - at `$.name`', 'At most 80 characters'],
    ['numbers', 'numbers: another queue has +441604555010', 'Another queue has +441604555010'],
    ['overflow_to', 'overflow_to: there is no such queue', 'There is no such queue'],
    ['dial', 'dial: names more than 10 targets', 'It names more than 10 targets'],
  ])('is said below %s without its name', (field, detail, said) => {
    expect(faultOf(field, detail)).toBe(said);
  });
});
