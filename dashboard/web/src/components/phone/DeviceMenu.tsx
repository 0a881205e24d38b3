import { ActionIcon, Button, NativeSelect, Popover } from '@mantine/core';
import { IconHeadset, IconMicrophone, IconPlayerStop, IconVolume } from '@tabler/icons-react';
import { useCallback, useEffect, useRef, useState } from 'react';
import { openMicrophone, stopStream } from '../../mic/microphone';
import {
  type Chosen,
  canChooseSpeaker,
  chosenDevices,
  type Device,
  type DeviceKind,
  type Devices,
  listDevices,
} from '../../phone/devices';
import { Meters } from '../../phone/meters';
import { usePhone } from '../../phone/PhoneContext';
import { playTestTone } from '../../phone/tones';
import { LevelMeter } from '../mic/LevelMeter';
import classes from './DeviceMenu.module.css';

/** Which microphone and loudspeaker to use, and whether they work. */
export function DeviceMenu() {
  const [opened, setOpened] = useState(false);
  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      position="top-end"
      width={300}
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <ActionIcon
          aria-label="Microphone and loudspeaker"
          aria-expanded={opened}
          data-testid="phone-devices"
          onClick={() => setOpened((was) => !was)}
        >
          <IconHeadset size={18} stroke={1.7} />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label="Microphone and loudspeaker">
        {opened && <DeviceChoice />}
      </Popover.Dropdown>
    </Popover>
  );
}

function DeviceChoice() {
  const { view, softphone } = usePhone();
  const [devices, setDevices] = useState<Devices>({ microphones: [], speakers: [] });
  const [chosen, setChosen] = useState<Chosen>(chosenDevices);
  const [sounding, setSounding] = useState(false);
  const inCall = view.audio.link !== 'idle';

  const look = useCallback(() => void listDevices().then(setDevices), []);
  useEffect(() => {
    look();
    navigator.mediaDevices?.addEventListener('devicechange', look);
    return () => navigator.mediaDevices?.removeEventListener('devicechange', look);
  }, [look]);

  const choose = (kind: DeviceKind, value: string) => {
    const id = value === '' ? null : value;
    softphone.choose(kind, id);
    setChosen((before) => ({ ...before, [kind]: id }));
  };
  const sound = async () => {
    setSounding(true);
    await playTestTone(chosen.speaker).catch(() => {});
    setSounding(false);
  };
  return (
    <div className={classes.root}>
      <NativeSelect
        label="Microphone"
        data-testid="phone-microphone"
        data={optionsOf(devices.microphones, chosen.microphone)}
        value={chosen.microphone ?? ''}
        onChange={(event) => choose('microphone', event.currentTarget.value)}
      />
      {inCall ? (
        <div className={classes.test}>
          <LevelMeter level={softphone.audio.mine} />
          <span className={classes.note}>{view.muted ? 'You are muted' : 'This is how you are heard'}</span>
        </div>
      ) : (
        <MicrophoneTest key={chosen.microphone} deviceId={chosen.microphone} onOpened={look} />
      )}
      {canChooseSpeaker() && (
        <NativeSelect
          label="Loudspeaker"
          data-testid="phone-speaker"
          data={optionsOf(devices.speakers, chosen.speaker)}
          value={chosen.speaker ?? ''}
          onChange={(event) => choose('speaker', event.currentTarget.value)}
        />
      )}
      <Button
        variant="default"
        size="xs"
        leftSection={<IconVolume size={15} stroke={1.8} />}
        data-testid="phone-test-tone"
        loading={sounding}
        onClick={() => void sound()}
      >
        Play a test tone
      </Button>
    </div>
  );
}

/** A chosen device that is not plugged in stays chosen. */
function optionsOf(devices: readonly Device[], chosen: string | null) {
  const options = [
    { value: '', label: 'System default' },
    ...devices.map(({ id, label }) => ({ value: id, label })),
  ];
  if (chosen !== null && !devices.some(({ id }) => id === chosen)) {
    options.push({ value: chosen, label: 'Chosen, but not plugged in' });
  }
  return options;
}

function MicrophoneTest({ deviceId, onOpened }: { deviceId: string | null; onOpened: () => void }) {
  const [test, setTest] = useState<'off' | 'on' | 'failed'>('off');
  const level = useRef<() => number>(() => 0);
  const read = useCallback(() => level.current(), []);

  useEffect(() => {
    if (test !== 'on') return;
    const meters = new Meters();
    let stream: MediaStream | null = null;
    let over = false;
    openMicrophone(deviceId).then(
      (opened) => {
        if (over) {
          stopStream(opened);
          return;
        }
        stream = opened;
        level.current = meters.of(opened);
        meters.resume();
        onOpened();
      },
      () => !over && setTest('failed'),
    );
    return () => {
      over = true;
      level.current = () => 0;
      stopStream(stream);
      meters.close();
    };
  }, [test, deviceId, onOpened]);

  return (
    <div className={classes.test}>
      <Button
        variant="default"
        size="xs"
        leftSection={
          test === 'on' ? (
            <IconPlayerStop size={15} stroke={1.8} />
          ) : (
            <IconMicrophone size={15} stroke={1.8} />
          )
        }
        data-testid="phone-test-microphone"
        onClick={() => setTest(test === 'on' ? 'off' : 'on')}
      >
        {test === 'on' ? 'Stop' : 'Try the microphone'}
      </Button>
      {test === 'on' && <LevelMeter level={read} />}
      {test === 'failed' && <span className={classes.failed}>It could not be opened</span>}
    </div>
  );
}
