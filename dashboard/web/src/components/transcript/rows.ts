import { tongueOf } from '../../languages';
import type { CallState, ScreenSegment } from '../../state/call';
import { isPlaced } from '../../state/speakers';
import { isShortBreak, type Loss, lossesOf } from './losses';
import { turnsOf } from './turns';

/** One row of the transcript. `head` begins a new speaker's turn. */
export type Row = TurnRow | { type: 'gap'; key: string; gap: Loss };

export interface TurnRow {
  type: 'segment';
  key: string;
  /** The segment, or one speaker's part of it. */
  segment: ScreenSegment;
  head: boolean;
  /** The language, where it is another than what was last said to be spoken on the track. */
  language: string | null;
  /** Whose words these are is not told yet. */
  waits: boolean;
}

/**
 * Segments and gaps by time. A gap stands before the segment that starts after it, and ends a turn.
 * `usual` is the language that needs no telling.
 */
export function rowsOf(
  { segments, gaps, speakers }: Pick<CallState, 'segments' | 'gaps' | 'speakers'>,
  usual: string,
): Row[] {
  const rows: Row[] = [];
  const losses = lossesOf(gaps);
  const spoken = new Map<string, string>();
  let nextGap = 0;
  let speaking: string | null = null;

  const pushGapsUntil = (ms: number) => {
    for (let gap = losses[nextGap]; gap && gap.start_ms < ms; gap = losses[nextGap]) {
      rows.push({ type: 'gap', key: `gap:${gap.track_ids[0]}:${gap.start_ms}`, gap });
      speaking = null;
      nextGap += 1;
    }
  };
  // A partial's language may be corrected in a moment; it is told once the words are final.
  const newLanguage = ({ track_id, language, is_final }: ScreenSegment) => {
    const tongue = tongueOf(language);
    if (!is_final || tongue === '' || tongue === (spoken.get(track_id) ?? usual)) return null;
    spoken.set(track_id, tongue);
    return tongue;
  };

  for (const segment of segments) {
    pushGapsUntil(segment.start_ms);
    const language = newLanguage(segment);
    const people = speakers[segment.track_id] ?? [];
    for (const [turn, part] of turnsOf(segment, people).entries()) {
      const first = turn === 0;
      const waits = people.length > 1 && !isPlaced(part);
      const speaker: string = waits ? goingOn(part, speaking) : `${part.track_id}:${part.speaker}`;
      rows.push({
        type: 'segment',
        key: first ? part.segment_id : `${part.segment_id}/${turn}`,
        segment: part,
        head: speaker !== speaking || (first && language !== null),
        language: first ? language : null,
        waits,
      });
      speaking = speaker;
    }
  }
  pushGapsUntil(Number.POSITIVE_INFINITY);
  return rows;
}

/** Until it is told who speaks, the words go on in the turn of their track, so that most lines never move. */
function goingOn({ track_id }: ScreenSegment, speaking: string | null): string {
  return speaking?.startsWith(`${track_id}:`) ? speaking : `${track_id}:`;
}

const CAUSES: Record<string, string> = {
  'spool-full': 'more audio than could be kept',
  'gateway-lost': 'the server went away',
  'audio-lost': 'audio was lost on the way',
  'recogniser-failed': 'the recogniser failed',
};

export function causeOf(gap: Loss): string {
  if (isShortBreak(gap)) return 'a short break in the audio';
  return CAUSES[gap.cause] ?? gap.cause.replace(/[_-]+/g, ' ');
}
