/** Microphones and loudspeakers: which there are, and which this browser's owner chose. */

import { keep, recall } from './kept';

export interface Device {
  id: string;
  label: string;
}

export interface Devices {
  microphones: Device[];
  speakers: Device[];
}

export type DeviceKind = 'microphone' | 'speaker';

/** Null: the system's own choice. */
export type Chosen = Readonly<Record<DeviceKind, string | null>>;

const keyOf = (kind: DeviceKind) => `hearline-phone-${kind}`;

export function chosenDevices(): Chosen {
  return { microphone: recall(keyOf('microphone')), speaker: recall(keyOf('speaker')) };
}

export function keepDevice(kind: DeviceKind, id: string | null): void {
  keep(keyOf(kind), id);
}

/** Whether this browser can play on another loudspeaker than the system's. */
export function canChooseSpeaker(): boolean {
  return 'setSinkId' in HTMLMediaElement.prototype;
}

/** The devices that can be told apart; none before the browser was once allowed the microphone. */
export async function listDevices(): Promise<Devices> {
  const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  return { microphones: ofKind(all, 'audioinput'), speakers: ofKind(all, 'audiooutput') };
}

function ofKind(all: readonly MediaDeviceInfo[], kind: MediaDeviceKind): Device[] {
  return all.flatMap((device) =>
    device.kind === kind && device.deviceId !== '' && device.deviceId !== 'default' && device.label !== ''
      ? { id: device.deviceId, label: device.label }
      : [],
  );
}
