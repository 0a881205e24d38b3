import type { CallState } from '../../state/call';
import type { Playback } from './playback';
import { RecordingFailed } from './RecordingFailed';
import { RecordingPlayer } from './RecordingPlayer';

/** What the call page shows of the recording below its head: the player, or why there is none. */
export function RecordingPart({ state, playback }: { state: CallState; playback: Playback | null }) {
  const { recording } = state;
  if (recording?.state === 'failed') return <RecordingFailed recording={recording} />;
  if (!recording || !playback) return null;
  const version = `${recording.recording_id}:${recording.duration_ms}`;
  return <RecordingPlayer key={version} state={state} recording={recording} playback={playback} />;
}
