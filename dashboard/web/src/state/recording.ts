/** A call's recording, kept current by the call's events. */

import type { LiveEvent, Pause, Recording } from '../api/types';

export const NOT_RECORDED: Recording = {
  state: 'off',
  recording_id: null,
  duration_ms: null,
  format: null,
  pauses: [],
  reason: null,
};

/** The recording after one more event; null as long as nobody has said anything of one. */
export function recordingAfter(known: Recording | null, event: LiveEvent): Recording | null {
  switch (event.type) {
    case 'recording.started':
      return known && known.state !== 'off' ? known : { ...NOT_RECORDED, state: 'on' };
    case 'recording.saved': {
      const { recording_id, duration_ms, format, reason = null } = event.data;
      const { pauses } = known ?? NOT_RECORDED;
      const closed = pauses.map((pause) => ({ ...pause, end_ms: pause.end_ms ?? duration_ms }));
      return { state: 'saved', recording_id, duration_ms, format, pauses: closed, reason };
    }
    case 'recording.failed': {
      const { recording_id, reason } = event.data;
      const before = known ?? NOT_RECORDED;
      return {
        ...before,
        state: 'failed',
        recording_id: recording_id ?? before.recording_id,
        reason: reason ?? null,
      };
    }
    case 'recording.paused':
      return paused(known ?? NOT_RECORDED, event.data.at_ms);
    case 'recording.resumed':
      return resumed(known ?? NOT_RECORDED, event.data.at_ms);
    case 'call.ended':
      return known?.state === 'on' || known?.state === 'paused' ? { ...known, state: 'writing' } : known;
    default:
      return known;
  }
}

/** A call that comes back after its end goes on in its recording. */
export function recordingTakenUp(known: Recording | null): Recording | null {
  return known?.state === 'writing' || known?.state === 'saved' ? { ...known, state: 'on' } : known;
}

const isOver = (recording: Recording | null) =>
  recording !== null && ['writing', 'saved', 'failed'].includes(recording.state);

function paused(known: Recording, at_ms: number): Recording {
  if (known.pauses.some((pause) => pause.start_ms === at_ms)) return known;
  // A pause within a pause is that pause.
  const within = known.pauses.some((pause) => pause.end_ms === null && pause.start_ms <= at_ms);
  const pauses = within ? known.pauses : byStart([...known.pauses, { start_ms: at_ms, end_ms: null }]);
  return { ...known, pauses, state: isOver(known) ? known.state : 'paused' };
}

function resumed(known: Recording, at_ms: number): Recording {
  const open = known.pauses.findLast((pause) => pause.end_ms === null && pause.start_ms <= at_ms);
  if (!open) return known;
  const pauses = known.pauses.map((pause) => (pause === open ? { ...pause, end_ms: at_ms } : pause));
  return { ...known, pauses, state: isOver(known) ? known.state : 'on' };
}

const byStart = (pauses: Pause[]) => pauses.sort((a, b) => a.start_ms - b.start_ms);
