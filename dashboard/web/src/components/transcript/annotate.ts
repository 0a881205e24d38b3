import type { Segment, Word } from '../../api/types';

/** A stretch of a line's text that is drawn in one way. */
export interface Span {
  start: number;
  text: string;
  /** The probability of a word heard with low confidence. */
  unsure: number | null;
  /** Part of a search hit. */
  hit: boolean;
  /** Which of the recogniser's words it belongs to; null between words, and where words were not asked for. */
  word: number | null;
  /** May still change. */
  loose: boolean;
}

export const UNSURE_BELOW = 0.5;

interface Range {
  start: number;
  end: number;
}

interface Shown {
  /** What is searched for. */
  query?: string;
  /** Every word becomes a span, not only a doubtful one. */
  everyWord?: boolean;
  /** So many leading characters will not change any more. */
  firm?: number;
}

/** Cuts a line into spans by what is drawn differently. Joined again, they are the text. */
export function annotate(
  text: string,
  words: readonly Word[],
  { query = '', everyWord = false, firm = text.length }: Shown = {},
): Span[] {
  const wanted = everyWord || words.some(isUnsure) ? placeWords(text, words) : [];
  const placed = everyWord ? wanted : wanted.filter(({ word }) => isUnsure(words[word]));
  const hits = hitRanges(text, query);
  const borders = new Set([0, Math.min(firm, text.length), text.length]);
  for (const { start, end } of [...placed, ...hits]) borders.add(start).add(end);
  const cuts = [...borders].sort((a, b) => a - b);

  return cuts.slice(0, -1).map((start, i) => {
    const end = cuts[i + 1] as number;
    const covers = (range: Range) => range.start <= start && end <= range.end;
    const at = placed.find(covers)?.word ?? null;
    const word = at === null ? undefined : words[at];
    return {
      start,
      text: text.slice(start, end),
      unsure: isUnsure(word) ? word.p : null,
      hit: hits.some(covers),
      word: everyWord ? at : null,
      loose: start >= firm,
    };
  });
}

/** Where the query occurs, whatever the case; an empty query occurs nowhere. */
export function hitRanges(text: string, query: string): Range[] {
  const wanted = query.trim().toLowerCase();
  const within = text.toLowerCase();
  // Where lower case changes the length (as in Turkish), positions would not fit the text.
  if (wanted === '' || within.length !== text.length) return [];
  const ranges: Range[] = [];
  for (let at = within.indexOf(wanted); at >= 0; at = within.indexOf(wanted, at + wanted.length)) {
    ranges.push({ start: at, end: at + wanted.length });
  }
  return ranges;
}

/** How much of a partial stands: characters as JavaScript counts them. An older server does not tell: nothing does. */
export function firmLength(text: string, stable = 0): number {
  let units = 0;
  for (const character of [...text].slice(0, stable)) units += character.length;
  return units;
}

const LOOK_AHEAD = 3;

/** Finds the recogniser's words in the shown text, which may have been cleaned up; words not found are passed over. */
export function placeWords(text: string, words: readonly Word[]): (Range & { word: number })[] {
  const tokens = [...text.matchAll(/\S+/g)].map((match) => ({
    start: match.index,
    end: match.index + match[0].length,
    bare: bare(match[0]),
  }));
  const ranges: (Range & { word: number })[] = [];
  let next = 0;
  for (const [word, { w }] of words.entries()) {
    const wanted = bare(w);
    const found = tokens.slice(next, next + LOOK_AHEAD).findIndex((token) => token.bare === wanted);
    const token = tokens[next + found];
    if (found < 0 || !token || wanted === '') continue;
    ranges.push({ start: token.start, end: token.end, word });
    next += found + 1;
  }
  return ranges;
}

export function isUnsure(word: Word | undefined): word is Word {
  return word !== undefined && word.p < UNSURE_BELOW;
}

/** Whether a whole line was heard with low confidence. */
export const isLow = ({ confidence }: Pick<Segment, 'confidence'>): boolean =>
  confidence !== null && confidence < UNSURE_BELOW;

function bare(word: string): string {
  const lower = word.trim().toLowerCase();
  return lower.replace(/[^\p{L}\p{N}]/gu, '') || lower; // '€' has nothing else
}
