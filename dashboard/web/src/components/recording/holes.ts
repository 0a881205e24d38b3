import type { Gap, Pause } from '../../api/types';
import { words } from '../../format';
import { trackName } from '../../names';
import type { CallState } from '../../state/call';
import { isHold } from '../transcript/losses';
import { causeOf } from '../transcript/rows';
import type { Span } from './playback';

/** A stretch of the recording that holds no sound, and why. */
export interface Hole extends Span {
  kind: 'pause' | 'hold' | 'gap';
  lane: 'left' | 'right' | 'both';
  name: string;
  /** A name for narrow places. */
  short: string;
  why: string;
}

type Parts = Pick<CallState, 'gaps' | 'tracks' | 'legs'> & { pauses: readonly Pause[] };

const ASKED = 'asked';

/** Pauses and gaps by time, cut to the recording. */
export function holesOf({ gaps, tracks, legs, pauses }: Parts, durationMs: number): Hole[] {
  const gapHole = (gap: Gap): Hole => {
    const track = tracks[gap.track_id];
    return {
      ...(isHold(gap)
        ? {
            kind: 'hold',
            name: 'On hold',
            short: 'On hold',
            why: 'What was said meanwhile is no part of the call',
          }
        : {
            kind: 'gap',
            name: 'Audio missing',
            short: 'Missing',
            why: `${trackName(track, legs)}: ${causeOf(gap)}`,
          }),
      lane: track?.side ?? 'right',
      start_ms: gap.start_ms,
      end_ms: gap.end_ms,
    };
  };
  const pauseHole = ({ start_ms, end_ms, reason = ASKED }: Pause): Hole => ({
    ...(reason === ASKED
      ? { kind: 'pause', name: 'Recording paused', short: 'Paused', why: 'nothing was kept' }
      : { kind: 'gap', name: 'Not recorded', short: 'Missing', why: words(reason) }),
    lane: 'both',
    start_ms,
    end_ms: end_ms ?? durationMs,
  });
  return [...pauses.map(pauseHole), ...gaps.map(gapHole)]
    .map((hole) => ({ ...hole, end_ms: Math.min(hole.end_ms, durationMs) }))
    .filter((hole) => hole.end_ms > hole.start_ms)
    .sort((a, b) => a.start_ms - b.start_ms);
}
