import type { Gap } from '../../api/types';

/** What is missing for one cause: a gap, or several that follow each other closely, on one track or on several at once. */
export interface Loss extends Omit<Gap, 'track_id'> {
  track_ids: readonly string[];
  /** The sum of what is missing, which is less than from `start_ms` to `end_ms` where there are several places. */
  lost_ms: number;
  longest_ms: number;
  places: number;
}

const CLOSE_MS = 3000;
/** No word fits in less. */
const HEARD_MS = 250;
const SHORT_MS = 1000;

/** The caller was on hold: nothing is missing. */
export const isHold = ({ cause }: Loss) => cause === 'hold';

/** A stutter, such as a browser's as it begins to send: too little to say that the connection was lost. */
export const isShortBreak = ({ cause, longest_ms }: Loss) =>
  cause === 'connection-lost' && longest_ms < SHORT_MS;

/** What to say of the gaps, which come by time: a line that stutters is one thing to tell, not thirty. */
export function lossesOf(gaps: readonly Gap[]): Loss[] {
  const losses: Loss[] = [];
  const newest = new Map<string, Loss>();
  for (const gap of gaps) {
    const loss = lossOf(gap);
    const of = `${gap.track_id} ${gap.cause}`;
    const before = newest.get(of);
    if (before && loss.lost_ms > 0 && !isHold(loss) && loss.start_ms - before.end_ms < CLOSE_MS) {
      before.end_ms = Math.max(before.end_ms, loss.end_ms);
      before.lost_ms += loss.lost_ms;
      before.longest_ms = Math.max(before.longest_ms, loss.longest_ms);
      before.places += 1;
    } else {
      losses.push(loss);
      if (loss.lost_ms > 0) newest.set(of, loss);
    }
  }
  return toldOnce(losses).filter(({ lost_ms }) => lost_ms <= 0 || lost_ms >= HEARD_MS);
}

/** Every single gap, to be shown in its place. */
export const placesOf = (gaps: readonly Gap[]) => toldOnce(gaps.map(lossOf));

/** Which side lost it, in words. */
export function sideOf({ track_ids: [first, ...others] }: Loss, nameOf: (trackId: string) => string): string {
  if (others.length === 0) return nameOf(first ?? '');
  return others.length === 1 ? 'both sides' : 'all sides';
}

function lossOf({ track_id, start_ms, end_ms, cause }: Gap): Loss {
  const lost_ms = end_ms - start_ms;
  return { track_ids: [track_id], start_ms, end_ms, cause, lost_ms, longest_ms: lost_ms, places: 1 };
}

/** What several tracks lack alike is one thing to tell. */
function toldOnce(losses: readonly Loss[]): Loss[] {
  const alike = new Map<string, Loss>();
  for (const loss of losses) {
    const key = [loss.start_ms, loss.end_ms, loss.cause, loss.lost_ms].join(' ');
    const { track_ids } = alike.get(key) ?? { track_ids: [] };
    alike.set(key, { ...loss, track_ids: [...track_ids, ...loss.track_ids] });
  }
  return [...alike.values()];
}
