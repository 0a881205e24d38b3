import { Button } from '@mantine/core';
import { IconMicrophone } from '@tabler/icons-react';
import { useMic } from '../../mic/MicContext';
import { usePhone } from '../../phone/PhoneContext';
import classes from './MicButton.module.css';

/** Starts a call from this browser's microphone; gone while one runs, or while the phone has one. */
export function MicButton() {
  const { state, start } = useMic();
  const { phone } = usePhone().view;
  if ('callId' in state || phone?.call || phone?.offer) return null;
  const busy = state.phase === 'asking' || state.phase === 'connecting';
  return (
    <Button
      className={classes.root}
      leftSection={<IconMicrophone size={16} stroke={1.8} />}
      data-testid="mic-button"
      aria-label="Use my microphone"
      loading={busy}
      onClick={start}
    >
      <span className={classes.long}>Use my microphone</span>
      <span className={classes.short}>Microphone</span>
    </Button>
  );
}
