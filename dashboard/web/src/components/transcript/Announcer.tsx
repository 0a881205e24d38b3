import { partyName } from '../../names';
import type { CallState } from '../../state/call';
import { isMixed } from '../../state/speakers';

/** Reads the newest final line to screen readers, politely; partials would interrupt without end. */
export function Announcer({ state }: { state: CallState }) {
  const last = state.segments.findLast((segment) => segment.is_final);
  return (
    <div className="visually-hidden" role="status" aria-atomic="true">
      {last && (
        <>
          {/* On a mixed track the name comes later than the words, which would be read out again. */}
          {!isMixed(state, last.track_id) &&
            `${partyName(last.role, last.speaker, state.legs[last.leg_id])}: `}
          <span lang={last.language || undefined}>{last.text}</span>
        </>
      )}
    </div>
  );
}
