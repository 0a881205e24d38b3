/** Phrases while somebody types or pastes them. */

import type { Phrase } from '../../api/types';
import { plural } from '../../format';

/** What the server allows. */
export const PHRASES_MAX = 1000;
export const PHRASE_MAX_CHARS = 100;

const WORDLIKE = /[\p{L}\p{N}]/u;

/** One phrase a line; what differs in nothing but case is one, and the first spelling counts. */
export function phrasesOf(typed: string): string[] {
  const phrases = new Map<string, string>();
  for (const line of typed.split(/[\r\n]+/)) {
    const phrase = line.trim().replace(/\s+/g, ' ');
    const same = phrase.toLowerCase();
    if (phrase !== '' && !phrases.has(same)) phrases.set(same, phrase);
  }
  return [...phrases.values()];
}

/** Those that are not there yet, in this spelling and for this queue. */
export function newPhrases(
  phrases: readonly string[],
  known: readonly Phrase[],
  queueId: string | null,
): string[] {
  const there = new Set(known.flatMap(({ phrase, queue_id }) => (queue_id === queueId ? phrase : [])));
  return phrases.filter((phrase) => !there.has(phrase));
}

/** Those that are there in another case and will be written anew. */
export function respelled(
  phrases: readonly string[],
  known: readonly Phrase[],
  queueId: string | null,
): string[] {
  const there = new Set(
    known.flatMap(({ phrase, queue_id }) => (queue_id === queueId ? phrase.toLowerCase() : [])),
  );
  return phrases.filter((phrase) => there.has(phrase.toLowerCase()));
}

/**
 * What is wrong with them, as far as it can be told without asking the server; null: nothing. Those that are
 * only written anew take no room.
 */
export function faultIn(
  phrases: readonly string[],
  known: readonly Phrase[],
  queueId: string | null,
): string | null {
  const long = phrases.find((phrase) => [...phrase].length > PHRASE_MAX_CHARS);
  if (long) return `“${[...long].slice(0, 24).join('')}…” is longer than ${PHRASE_MAX_CHARS} characters`;
  const odd = phrases.find((phrase) => !WORDLIKE.test(phrase));
  if (odd) return `“${odd}” has neither letters nor digits`;
  const more = phrases.length - respelled(phrases, known, queueId).length;
  const room = PHRASES_MAX - known.length;
  if (more > room)
    return room > 0
      ? `There is room for ${room} more, and these are ${more}`
      : `There are ${plural(PHRASES_MAX, 'phrase')} already; remove some first`;
  return null;
}
