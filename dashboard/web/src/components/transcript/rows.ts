import type { Gap } from '../../api/types';
import type { CallState, ScreenSegment } from '../../state/call';
import { type Loss, lossesOf } from './losses';

/** One row of the transcript. `head` begins a new speaker's turn. */
export type Row =
  | { type: 'segment'; key: string; segment: ScreenSegment; head: boolean }
  | { type: 'gap'; key: string; gap: Loss };

/** Segments and gaps by time. A gap stands before the segment that starts after it, and ends a turn. */
export function rowsOf({ segments, gaps }: Pick<CallState, 'segments' | 'gaps'>): Row[] {
  const rows: Row[] = [];
  const losses = lossesOf(gaps);
  let nextGap = 0;
  let speaking: string | null = null;

  const pushGapsUntil = (ms: number) => {
    for (let gap = losses[nextGap]; gap && gap.start_ms < ms; gap = losses[nextGap]) {
      rows.push({ type: 'gap', key: `gap:${gap.track_id}:${gap.start_ms}`, gap });
      speaking = null;
      nextGap += 1;
    }
  };

  for (const segment of segments) {
    pushGapsUntil(segment.start_ms);
    const speaker = `${segment.track_id}:${segment.speaker}`;
    rows.push({ type: 'segment', key: segment.segment_id, segment, head: speaker !== speaking });
    speaking = speaker;
  }
  pushGapsUntil(Number.POSITIVE_INFINITY);
  return rows;
}

const CAUSES: Record<string, string> = {
  'spool-full': 'more audio than could be kept',
  'gateway-lost': 'the server went away',
  'audio-lost': 'audio was lost on the way',
  'recogniser-failed': 'the recogniser failed',
};

export function causeOf(gap: Gap): string {
  return CAUSES[gap.cause] ?? gap.cause.replace(/[_-]+/g, ' ');
}
