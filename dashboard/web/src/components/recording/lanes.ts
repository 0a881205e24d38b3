import type { Role, Side } from '../../api/types';
import type { CallState } from '../../state/call';

/** Whose the upper and the lower lane of a recording are; null where all speak on the other one. */
export type LaneRoles = readonly [Role | null, Role | null];

/** As the roles are now: the lanes stay where they were recorded. A track that several share is nobody's in particular. */
export function lanesOf(tracks: CallState['tracks']): LaneRoles {
  const all = Object.values(tracks);
  const on = (side: Side) => all.filter((track) => track.side === side);
  const [above, below] = [on('left'), on('right')];
  const shared = all.length > 0 && all.every(({ mixed }) => mixed);
  const [upper, lower] = [roleOf(above, 'customer'), roleOf(below, 'agent')];
  return [
    upper ?? (shared || lower === 'customer' ? null : 'customer'),
    lower ?? (shared || upper === 'agent' ? null : 'agent'),
  ];
}

/** Who speaks on a lane: the one who usually does, if only for a time. */
function roleOf(tracks: readonly { role: Role; mixed?: boolean }[], usual: Role): Role | null {
  if (tracks.some(({ mixed }) => mixed)) return 'unknown';
  return tracks.find(({ role }) => role === usual)?.role ?? tracks[0]?.role ?? null;
}
