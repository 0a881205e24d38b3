import { partyName } from '../../names';
import type { CallState } from '../../state/call';

/** Reads the newest final line to screen readers, politely; partials would interrupt without end. */
export function Announcer({ segments, legs }: Pick<CallState, 'segments' | 'legs'>) {
  const last = segments.findLast((segment) => segment.is_final);
  return (
    <div className="visually-hidden" role="status" aria-atomic="true">
      {last && `${partyName(last.role, last.speaker, legs[last.leg_id])}: ${last.text}`}
    </div>
  );
}
