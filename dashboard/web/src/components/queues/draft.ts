/** A queue while somebody edits it. */

import type { OnTimeout, Queue, QueueFields, QueueMode } from '../../api/types';

export type Greeting = 'shipped' | 'own' | 'none';

/** As the form holds it: a field that is being typed may be anything. */
export interface Draft {
  name: string;
  numbers: string[];
  mode: QueueMode | 'setting';
  dial: string;
  greeting: Greeting;
  words: string;
  music: boolean;
  consent: boolean;
  recorded: boolean;
  ring_s: number | string;
  max_wait_s: number | string;
  max_waiting: number | string;
  on_timeout: OnTimeout;
  overflow_to: string | null;
  overflow_after_s: number | string;
  agents: string[];
}

/** What the server gives a queue that says nothing else. */
const NEW: QueueFields = {
  name: '',
  numbers: [],
  mode: null,
  dial: null,
  greeting: null,
  music: true,
  consent: false,
  recorded: true,
  ring_s: 20,
  max_wait_s: 300,
  max_waiting: 50,
  on_timeout: 'voicemail',
  overflow_to: null,
  overflow_after_s: 60,
  agents: [],
};

export function draftOf(queue: Queue | null): Draft {
  const fields = queue ?? NEW;
  const { greeting } = fields;
  return {
    name: fields.name,
    numbers: fields.numbers,
    mode: fields.mode ?? 'setting',
    dial: fields.dial ?? '',
    greeting: greeting === null ? 'shipped' : greeting === '' ? 'none' : 'own',
    words: greeting ?? '',
    music: fields.music,
    consent: fields.consent,
    recorded: fields.recorded,
    ring_s: fields.ring_s,
    max_wait_s: fields.max_wait_s,
    max_waiting: fields.max_waiting,
    on_timeout: fields.on_timeout,
    overflow_to: fields.overflow_to,
    overflow_after_s: fields.overflow_after_s,
    agents: fields.agents,
  };
}

export type Faults = Partial<Record<keyof QueueFields, string>>;

/** What the form can tell without asking the server. */
export function faultsOf(draft: Draft): Faults {
  const faults: Faults = {};
  if (draft.name.trim() === '') faults.name = 'Give it a name';
  if (draft.greeting === 'own' && draft.words.trim() === '') faults.greeting = 'Say what callers hear';
  for (const field of ['ring_s', 'max_wait_s', 'max_waiting', 'overflow_after_s'] as const) {
    if (draft[field] === '') faults[field] = 'Give a number';
  }
  return faults;
}

export function fieldsOf({ words, ...draft }: Draft): QueueFields {
  const said = { shipped: null, none: '', own: words.trim() }[draft.greeting];
  return {
    ...draft,
    name: draft.name.trim(),
    numbers: draft.numbers.flatMap((typed) => typed.split(/[,;]/)).flatMap((number) => number.trim() || []),
    mode: draft.mode === 'setting' ? null : draft.mode,
    dial: draft.dial.trim() || null,
    greeting: said,
    ring_s: Number(draft.ring_s),
    max_wait_s: Number(draft.max_wait_s),
    max_waiting: Number(draft.max_waiting),
    overflow_after_s: Number(draft.overflow_after_s),
  };
}

/** Which field a refusal is about, by the name that the server gives it; null when it names none of a queue's. */
export function faultyField(parameter: string): keyof QueueFields | null {
  return Object.hasOwn(NEW, parameter) ? (parameter as keyof QueueFields) : null;
}
