import type { Word } from '../../api/types';
import type { Row } from './rows';

const HELD_MS = 250;

/** Which word of a line is being spoken at a moment; -1 for none. A word holds until the next one or a short while. */
export function spokenWord(words: readonly Word[], ms: number): number {
  const at = words.findLastIndex((word) => word.start_ms <= ms);
  const word = words[at];
  return word && ms < word.end_ms + HELD_MS ? at : -1;
}

/** The row of the line that began last; -1 before the first. */
export function spokenRow(rows: readonly Row[], ms: number): number {
  return rows.findLastIndex((row) => row.type === 'segment' && row.segment.start_ms <= ms);
}
