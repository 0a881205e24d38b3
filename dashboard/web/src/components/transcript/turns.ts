import type { Speaker } from '../../api/types';
import type { ScreenSegment } from '../../state/call';
import { placeWords } from './annotate';

/**
 * A segment that holds the words of several people, cut where the speaker changes; any other is one turn.
 * Each turn is the segment with its own part of the text and the words. Joined, the texts are the whole.
 */
export function turnsOf(segment: ScreenSegment, speakers: readonly Speaker[]): ScreenSegment[] {
  const { words = [], text } = segment;
  if (!words.some((word) => word.speaker)) return [segment];
  const starts: { at: number; word: number; speaker: string }[] = [];
  for (const { start, word } of placeWords(text, words)) {
    const speaker = words[word]?.speaker ?? segment.speaker;
    if (starts.at(-1)?.speaker === speaker) continue;
    starts.push(starts.length === 0 ? { at: 0, word: 0, speaker } : { at: start, word, speaker });
  }
  if (starts.length === 0) return [segment];
  return starts.map(({ at, word, speaker }, turn) => {
    const next = starts[turn + 1];
    const own = words.slice(word, next?.word);
    return {
      ...segment,
      speaker,
      role: speakers.find((known) => known.speaker === speaker)?.role ?? 'unknown',
      text: text.slice(at, next?.at),
      words: own,
      start_ms: turn === 0 ? segment.start_ms : (own[0]?.start_ms ?? segment.start_ms),
      end_ms: next ? (own.at(-1)?.end_ms ?? segment.end_ms) : segment.end_ms,
    };
  });
}
