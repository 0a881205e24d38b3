import type { Role } from '../../api/types';
import type { CallState } from '../../state/call';

/** Whose the upper and the lower lane of a recording are; null where all speak on the other one. */
export type LaneRoles = readonly [Role | null, Role | null];

/** The customer above, everybody else below. A track that several people share is nobody's in particular. */
export function lanesOf(tracks: CallState['tracks']): LaneRoles {
  const all = Object.values(tracks);
  const shared = all.filter(({ mixed }) => mixed);
  const [above, below] = [shared.filter(isAbove), shared.filter((track) => !isAbove(track))];
  const alone = shared.length > 0 && shared.length === all.length;
  const upper = above.length > 0 ? 'unknown' : 'customer';
  const lower = below.length > 0 ? 'unknown' : 'agent';
  return [alone && above.length === 0 ? null : upper, alone && below.length === 0 ? null : lower];
}

const isAbove = ({ role }: { role: Role }) => role === 'customer';
