/** The audio of the call that this screen carries: microphone, connection, loudspeaker, meters. */

import type { CaptureProblem } from '../mic/microphone';
import { chosenDevices, type DeviceKind, keepDevice } from './devices';
import { Meters } from './meters';
import { type Counted, readStats } from './network';
import type { Media, NetworkFigures } from './phone';
import { Link, type LinkOptions, type LinkState } from './rtc';
import { serverSignalling } from './signalling';
import { Voice, type VoiceState } from './voice';

const STATS_EVERY_MS = 2_000;

export interface AudioView {
  /** `idle`: this screen carries no audio. */
  link: 'idle' | LinkState;
  voice: VoiceState;
  /** The browser plays nothing before it has been touched. */
  blocked: boolean;
  heard: NetworkFigures | null;
}

export const SILENT: AudioView = { link: 'idle', voice: 'off', blocked: false, heard: null };

/** The call whose audio belongs here. */
export interface Want {
  callId: string;
  media: Media;
  /** False for those who only listen: their microphone stays closed. */
  speaks: boolean;
  muted: boolean;
}

export interface CallAudioOptions {
  iceServers: () => readonly RTCIceServer[];
  onView: (view: AudioView) => void;
  onProblem: (problem: CaptureProblem) => void;
  openLink?: (
    options: LinkOptions,
  ) => Pick<Link, 'open' | 'close' | 'setTrack' | 'heed' | 'stats' | 'callId'>;
  openMicrophone?: (deviceId: string | null) => Promise<MediaStream>;
}

const still = () => 0;

export class CallAudio {
  readonly #options: CallAudioOptions;
  readonly #voice: Voice;
  readonly #meters = new Meters();
  #view: AudioView = SILENT;
  #link: ReturnType<NonNullable<CallAudioOptions['openLink']>> | null = null;
  #element: HTMLAudioElement | null = null;
  #mine: () => number = still;
  #theirs: () => number = still;
  #counted: Counted | null = null;
  #statsTimer: ReturnType<typeof setInterval> | undefined;

  constructor(options: CallAudioOptions) {
    this.#options = options;
    const { openMicrophone: open, onProblem } = options;
    this.#voice = new Voice({
      onStream: (stream) => {
        this.#mine = stream ? this.#meters.of(stream) : still;
        this.#link?.setTrack(stream?.getAudioTracks()[0] ?? null);
      },
      onState: (voice) => {
        this.#show({ voice });
        // Browsers let a page play that has a microphone open, touched or not.
        if (voice === 'on') this.touched();
      },
      onProblem,
      ...(open && { open }),
    });
  }

  /** How loud this side is, 0..1. */
  readonly mine = () => this.#mine();

  /** How loud the other side is, 0..1. */
  readonly theirs = () => this.#theirs();

  /** Carries this call's audio from now on; null: none. */
  follow(want: Want | null): void {
    if (this.#link && this.#link.callId !== want?.callId) this.#leave();
    if (!want) return;
    this.#voice.mute(want.muted);
    if (this.#link) this.#link.heed(want.media);
    else this.#join(want.callId);
    if (!want.speaks) this.#voice.stop();
    else if (this.#voice.state === 'off') void this.#voice.start(chosenDevices().microphone);
  }

  /** Mutes at the source, at once. */
  mute(on: boolean): void {
    this.#voice.mute(on);
  }

  /** Asks for the microphone again after it could not be had. */
  retryMicrophone(): void {
    if (this.#link) void this.#voice.start(chosenDevices().microphone);
  }

  choose(kind: DeviceKind, id: string | null): void {
    keepDevice(kind, id);
    if (kind === 'speaker') void this.#setSpeaker();
    else if (this.#voice.state !== 'off') void this.#voice.start(id);
  }

  /** Tries again what a browser forbids to pages that nobody has touched yet. */
  touched(): void {
    this.#meters.resume();
    if (this.#view.blocked) void this.#play();
  }

  close(): void {
    this.#leave();
  }

  #join(callId: string): void {
    const { iceServers, openLink = (options) => new Link(options) } = this.#options;
    const link = openLink({
      callId,
      iceServers,
      signalling: serverSignalling,
      onState: (state) => this.#show({ link: state, ...(state === 'lost' && { heard: null }) }),
      onStream: (stream) => this.#hear(stream),
    });
    this.#link = link;
    this.#show({ link: 'connecting' });
    link.open();
    this.#statsTimer = setInterval(() => void this.#measure(link), STATS_EVERY_MS);
  }

  #leave(): void {
    clearInterval(this.#statsTimer);
    this.#link?.close();
    this.#link = null;
    this.#voice.stop();
    this.#element?.remove();
    this.#element = null;
    this.#mine = this.#theirs = still;
    this.#meters.close();
    this.#counted = null;
    this.#show(SILENT);
  }

  #hear(stream: MediaStream): void {
    this.#element ??= newElement();
    this.#element.srcObject = stream;
    this.#theirs = this.#meters.of(stream);
    void this.#setSpeaker();
    void this.#play();
  }

  async #play(): Promise<void> {
    try {
      await this.#element?.play();
      this.#show({ blocked: false });
    } catch (error) {
      // A new stream that cuts in is no obstacle.
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.#show({ blocked: true });
    }
  }

  async #setSpeaker(): Promise<void> {
    const id = chosenDevices().speaker ?? '';
    const element = this.#element;
    if (!element || !('setSinkId' in element) || element.sinkId === id) return;
    // A loudspeaker that is gone: the system's takes its place.
    await element.setSinkId(id).catch(() => element.setSinkId('').catch(() => {}));
  }

  async #measure(link: Pick<Link, 'stats'>): Promise<void> {
    const report = await link.stats();
    if (!report || link !== this.#link || this.#view.link !== 'connected') return;
    const heard = readStats(report, this.#counted);
    this.#counted = heard?.counted ?? null;
    this.#show({ heard: heard?.figures ?? null });
  }

  #show(change: Partial<AudioView>): void {
    this.#view = { ...this.#view, ...change };
    this.#options.onView(this.#view);
  }
}

/** In the page, so that what is heard can be looked at there. */
function newElement(): HTMLAudioElement {
  const element = document.createElement('audio');
  element.autoplay = true;
  element.dataset.testid = 'phone-audio';
  document.body.append(element);
  return element;
}
