/** How loud a recording is over its time. */

import type { Peaks } from '../../api/types';
import type { Span } from './playback';

/**
 * How loud a lane is in each of `count` equal parts of `durationMs`, from 0 to 1: the mean of the part's peaks. Their
 * maximum would show a long call as one block.
 */
export function barsOf(lane: readonly number[], stepMs: number, durationMs: number, count: number): number[] {
  if (durationMs <= 0 || stepMs <= 0) return new Array(count).fill(0);
  const stepsInBar = durationMs / stepMs / count;
  return Array.from({ length: count }, (_, bar) => {
    const first = Math.floor(bar * stepsInBar);
    const last = Math.max(first + 1, Math.floor((bar + 1) * stepsInBar));
    const steps = lane.slice(first, last);
    return steps.reduce((sum, peak) => sum + peak, 0) / (last - first);
  });
}

const FLOOR = 0.02;

/** What a bar is drawn with: the loudest fills the lane, and quiet telephone speech is still seen. */
export function heightOf(bar: number, loudest: number): number {
  return Math.sqrt(Math.min(1, Math.max(0, bar) / Math.max(loudest, FLOOR)));
}

export const loudestOf = (...lanes: (readonly number[])[]) =>
  lanes.reduce((most, lane) => lane.reduce((a, b) => Math.max(a, b), most), 0);

const QUIET_BELOW = 0.03;
const SHORTEST_MS = 1_200;
const KEPT_MS = 300;

/** Stretches long enough to leave out, in which neither party speaks; a little silence is kept at both ends. */
export function quietSpans(peaks: Peaks): Span[] {
  const { left, right, step_ms, duration_ms } = peaks;
  const below = QUIET_BELOW * loudestOf(left, right);
  const steps = Math.ceil(duration_ms / step_ms);
  const spans: Span[] = [];
  let start: number | null = null;
  for (let i = 0; i <= steps; i += 1) {
    const loud = i === steps || Math.max(left[i] ?? 0, right[i] ?? 0) > below;
    if (!loud) start ??= i;
    if (!loud || start === null) continue;
    const [start_ms, end_ms] = [start * step_ms, i * step_ms];
    if (end_ms - start_ms >= SHORTEST_MS) {
      spans.push({ start_ms: start_ms + KEPT_MS, end_ms: end_ms - KEPT_MS });
    }
    start = null;
  }
  return spans;
}
