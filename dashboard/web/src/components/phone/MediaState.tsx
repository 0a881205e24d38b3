import { Button } from '@mantine/core';
import {
  type Icon,
  IconHeadphones,
  IconHeadphonesOff,
  IconLoader2,
  IconMicrophoneOff,
  IconVolume3,
} from '@tabler/icons-react';
import { usePhone } from '../../phone/PhoneContext';
import type { PhoneCall } from '../../phone/phone';
import { type PhoneView, speaks } from '../../phone/softphone';
import classes from './MediaState.module.css';

export type SoundState = 'elsewhere' | 'connecting' | 'connected' | 'lost';

/** Connected is what both this browser and the server call so. */
export function soundState(call: PhoneCall, audio: PhoneView['audio']): SoundState {
  if (!call.here) return 'elsewhere';
  if (audio.link === 'lost') return 'lost';
  return audio.link === 'connected' && call.media === 'connected' ? 'connected' : 'connecting';
}

const SHOWN: Record<SoundState, { icon: Icon; word: string }> = {
  elsewhere: { icon: IconHeadphonesOff, word: 'Sound in another window' },
  connecting: { icon: IconLoader2, word: 'Connecting sound' },
  connected: { icon: IconHeadphones, word: 'Sound connected' },
  lost: { icon: IconLoader2, word: 'Sound lost, reconnecting' },
};

/** Where the sound of the call is, and what stands in its way. */
export function MediaState({ call }: { call: PhoneCall }) {
  const { view, softphone } = usePhone();
  const { audio } = view;
  const state = soundState(call, audio);
  const { icon: Icon, word } = SHOWN[state];
  return (
    <>
      <span className={classes.root} data-testid="phone-media" data-state={state}>
        <Icon size={15} stroke={1.9} aria-hidden />
        <span className={state === 'connected' ? 'visually-hidden' : undefined}>{word}</span>
      </span>
      {state === 'elsewhere' && (
        <Button
          size="compact-xs"
          variant="light"
          data-testid="phone-here"
          loading={view.pending.has('here')}
          onClick={() => void softphone.do({ do: 'here', call_id: call.call_id })}
        >
          Use this window
        </Button>
      )}
      {audio.blocked && (
        <Button
          size="compact-xs"
          color="red"
          variant="light"
          leftSection={<IconVolume3 size={14} />}
          data-testid="phone-sound-on"
          onClick={() => softphone.audio.touched()}
        >
          Turn the sound on
        </Button>
      )}
      {audio.voice === 'failed' && speaks(call) && (
        <Button
          size="compact-xs"
          color="red"
          variant="light"
          leftSection={<IconMicrophoneOff size={14} />}
          data-testid="phone-no-microphone"
          onClick={() => softphone.audio.retryMicrophone()}
        >
          No microphone: try again
        </Button>
      )}
    </>
  );
}
