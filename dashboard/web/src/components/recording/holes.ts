import type { Pause } from '../../api/types';
import { capital, words } from '../../format';
import { trackName } from '../../names';
import type { CallState } from '../../state/call';
import { isHold, isShortBreak, type Loss, sideOf } from '../transcript/losses';
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
  /** How much is missing, where that is not all from start to end. */
  lost_ms?: number;
}

type Parts = Pick<CallState, 'tracks' | 'legs'> & { losses: readonly Loss[]; pauses: readonly Pause[] };

const ASKED = 'asked';

/** Pauses and losses by time, cut to the recording. */
export function holesOf({ losses, tracks, legs, pauses }: Parts, durationMs: number): Hole[] {
  const lossHole = (loss: Loss): Hole => {
    const [side = 'right', ...others] = new Set(loss.track_ids.map((id) => tracks[id]?.side));
    return {
      ...(isHold(loss)
        ? {
            kind: 'hold',
            name: 'On hold',
            short: 'On hold',
            why: 'What was said meanwhile is no part of the call',
          }
        : {
            kind: 'gap',
            ...(isShortBreak(loss)
              ? { name: 'Short break', short: 'Break' }
              : { name: 'Audio missing', short: 'Missing' }),
            why: capital(`${sideOf(loss, (id) => trackName(tracks[id], legs))}: ${causeOf(loss)}`),
            lost_ms: loss.lost_ms,
          }),
      lane: others.length > 0 ? 'both' : side,
      start_ms: loss.start_ms,
      end_ms: loss.end_ms,
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
  return [...pauses.map(pauseHole), ...losses.map(lossHole)]
    .map((hole) => ({ ...hole, end_ms: Math.min(hole.end_ms, durationMs) }))
    .filter((hole) => hole.end_ms > hole.start_ms)
    .sort((a, b) => a.start_ms - b.start_ms);
}
