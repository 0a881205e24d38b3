import type { Gap } from '../../api/types';

/** One gap, or several of one track that have one cause and follow each other closely. */
export interface Loss extends Gap {
  lost_ms: number;
  places: number;
}

const CLOSE_MS = 3000;
/** No word fits in less. */
const HEARD_MS = 250;

/** The caller was on hold: nothing is missing. */
export const isHold = ({ cause }: Gap) => cause === 'hold';

/** What to say of the gaps, which come by time: a line that stutters is one thing to tell, not thirty. */
export function lossesOf(gaps: readonly Gap[]): Loss[] {
  const losses: Loss[] = [];
  const newest = new Map<string, Loss>();
  for (const gap of gaps) {
    const lost_ms = gap.end_ms - gap.start_ms;
    const of = `${gap.track_id} ${gap.cause}`;
    const before = newest.get(of);
    if (before && lost_ms > 0 && !isHold(gap) && gap.start_ms - before.end_ms < CLOSE_MS) {
      before.end_ms = Math.max(before.end_ms, gap.end_ms);
      before.lost_ms += lost_ms;
      before.places += 1;
    } else {
      const loss = { ...gap, lost_ms, places: 1 };
      losses.push(loss);
      if (lost_ms > 0) newest.set(of, loss);
    }
  }
  return losses.filter(({ lost_ms }) => lost_ms <= 0 || lost_ms >= HEARD_MS);
}
