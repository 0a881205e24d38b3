import { ActionIcon, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import {
  type Icon,
  IconAlertTriangle,
  IconCircleOff,
  IconPlayerPause,
  IconPlayerRecord,
  IconProgressDown,
} from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { api, ProblemError } from '../../api/client';
import type { Recording, RecordingPhase } from '../../api/types';
import type { CallState } from '../../state/call';
import type { Tone } from '../marks';
import classes from './RecordingStatus.module.css';

const SHOWN: Record<Exclude<RecordingPhase, 'saved'>, { icon: Icon | null; word: string; tone: Tone }> = {
  off: { icon: IconCircleOff, word: 'Not recorded', tone: 'unknown' },
  on: { icon: null, word: 'Recording', tone: 'bad' },
  paused: { icon: IconPlayerPause, word: 'Recording paused', tone: 'warn' },
  writing: { icon: IconProgressDown, word: 'Saving the recording', tone: 'unknown' },
  failed: { icon: IconAlertTriangle, word: 'Recording failed', tone: 'bad' },
};

/** How the call's recording stands until it is saved and, while the call lives, the button that pauses it. */
export function RecordingStatus({ state: { call, recording } }: { state: CallState }) {
  if (!recording || recording.state === 'saved') return null;
  const { icon: Icon, word, tone } = SHOWN[recording.state];
  const controls = call.status === 'live' && (recording.state === 'on' || recording.state === 'paused');
  return (
    <span
      className={classes.root}
      style={{ color: `var(--hl-${tone})`, background: `var(--hl-${tone}-soft)` }}
    >
      <span
        className={classes.state}
        role="status"
        data-testid="recording-state"
        data-state={recording.state}
        title={recording.reason ?? undefined}
      >
        {Icon ? <Icon size={14} stroke={1.8} aria-hidden /> : <span className={classes.dot} aria-hidden />}
        {word}
      </span>
      {controls && <PauseButton callId={call.id} recording={recording} />}
    </span>
  );
}

function PauseButton({ callId, recording }: { callId: string; recording: Recording }) {
  const paused = recording.state === 'paused';
  const change = useMutation({
    mutationFn: () => (paused ? api.resumeRecording(callId) : api.pauseRecording(callId)),
    onError: (error) =>
      notifications.show({
        color: 'red',
        title: paused ? 'The recording is still paused' : 'The recording was not paused',
        message:
          error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
      }),
  });
  const label = paused ? 'Resume the recording' : 'Pause the recording';
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="transparent"
        size={24}
        className={classes.button}
        aria-label={label}
        data-testid={paused ? 'recording-resume' : 'recording-pause'}
        loading={change.isPending}
        onClick={() => change.mutate()}
      >
        {paused ? <IconPlayerRecord size={16} stroke={1.9} /> : <IconPlayerPause size={16} stroke={1.9} />}
      </ActionIcon>
    </Tooltip>
  );
}
