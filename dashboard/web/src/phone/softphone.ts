/** The phone of this page: the server's state of it, the audio of its call, and what may be done with them. */

import { CaptureError, type CaptureProblem, openMicrophone, stopStream } from '../mic/microphone';
import { type AudioView, CallAudio, type CallAudioOptions, SILENT } from './audio';
import { chosenDevices, type DeviceKind } from './devices';
import { keep, recall } from './kept';
import type { Command, Phone, PhoneCall, PhoneStatus } from './phone';
import { CommandRefused, type PhoneConnection, PhoneSocket, type PhoneSocketOptions } from './socket';

/** The call whose audio this page carried: it asks for it again after a reload. */
const CARRIED = 'hearline-phone-carried';
const ofThisPage = () => sessionStorage;

export interface PhoneView {
  connection: PhoneConnection;
  /** As the server last told it; null before it has. */
  phone: Phone | null;
  audio: AudioView;
  /** Whether this side is muted, or will be once the server knows. */
  muted: boolean;
  /** Commands on their way. */
  pending: ReadonlySet<Command['do']>;
  /** Why there is no microphone; null when there is one, or none is needed. */
  problem: CaptureProblem | null;
}

export const NO_PHONE: PhoneView = {
  connection: 'absent',
  phone: null,
  audio: SILENT,
  muted: false,
  pending: new Set(),
  problem: null,
};

export interface SoftphoneOptions {
  onRefused: (message: string) => void;
  onTold: (sentence: string) => void;
  onSessionEnded: () => void;
  openSocket?: PhoneSocketOptions['openSocket'];
  openAudio?: (options: CallAudioOptions) => CallAudio;
  openMicrophone?: (deviceId: string | null) => Promise<MediaStream>;
}

export class Softphone {
  readonly #options: SoftphoneOptions;
  readonly #socket: PhoneSocket;
  readonly audio: CallAudio;
  #view: PhoneView = NO_PHONE;
  #listeners = new Set<() => void>();
  /** What the person wants, from the moment of the click until the server says the same. */
  #wish: { callId: string; muted: boolean } | null = null;
  #afterProblem: () => void = () => {};
  /** Whether the server's first word since the connection is still to come. */
  #fresh = true;

  constructor(options: SoftphoneOptions) {
    this.#options = options;
    const { onTold, onSessionEnded, openSocket, openAudio = (wanted) => new CallAudio(wanted) } = options;
    this.#socket = new PhoneSocket({
      onPhone: (phone) => this.#receive(phone),
      onConnection: (connection) => {
        if (connection !== 'live') this.#fresh = true;
        this.#show({ connection });
      },
      onTold,
      onSessionEnded: () => {
        this.audio.follow(null);
        this.#show({ ...NO_PHONE });
        onSessionEnded();
      },
      ...(openSocket && { openSocket }),
    });
    this.audio = openAudio({
      iceServers: () => this.#view.phone?.ice_servers ?? [],
      onView: (audio) => this.#show({ audio, ...(audio.voice === 'on' && { problem: null }) }),
      onProblem: (problem) => this.#ask(problem, () => this.audio.retryMicrophone()),
    });
  }

  readonly view = (): PhoneView => this.#view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  open(): void {
    window.addEventListener('pointerdown', this.#touched, true);
    window.addEventListener('keydown', this.#touched, true);
    this.#socket.open();
  }

  close(): void {
    window.removeEventListener('pointerdown', this.#touched, true);
    window.removeEventListener('keydown', this.#touched, true);
    this.#socket.close();
    this.audio.close();
    this.#show({ ...NO_PHONE });
  }

  /** Returns whether the server carried it out; why not has been told. */
  async do(command: Command): Promise<boolean> {
    this.#show({ pending: new Set(this.#view.pending).add(command.do) });
    try {
      await this.#socket.send(command);
      return true;
    } catch (error) {
      if (!(error instanceof CommandRefused)) throw error;
      this.#options.onRefused(error.message);
      return false;
    } finally {
      const pending = new Set(this.#view.pending);
      pending.delete(command.do);
      this.#show({ pending });
    }
  }

  /** To come online takes a microphone: the browser asks for it now, not when the first caller is there. */
  async setStatus(status: PhoneStatus): Promise<void> {
    if (status === 'online' && this.#view.phone?.call == null && !(await this.#tryMicrophone())) return;
    await this.do({ do: 'status', status });
  }

  /** Mutes at the source before anybody else knows of it. */
  async mute(on: boolean): Promise<void> {
    const call = this.#view.phone?.call;
    if (!call) return;
    this.#wish = { callId: call.call_id, muted: on };
    this.audio.mute(on);
    this.#show({ muted: on });
    // A muted microphone stays muted, whatever the server says.
    if (this.#view.connection !== 'live' && on) return;
    const done = await this.do({ do: 'mute', call_id: call.call_id, on });
    if (!done && !on) this.#giveUpWish();
  }

  async hangUp(): Promise<void> {
    const call = this.#view.phone?.call;
    if (!call) return;
    await this.do({ do: call.part === 'supervisor' ? 'leave' : 'hang_up', call_id: call.call_id });
  }

  choose(kind: DeviceKind, id: string | null): void {
    this.audio.choose(kind, id);
  }

  retryMicrophone(): void {
    this.#show({ problem: null });
    this.#afterProblem();
  }

  dismissProblem(): void {
    this.#show({ problem: null });
  }

  #receive(phone: Phone): void {
    const fresh = this.#fresh;
    this.#fresh = false;
    const call = phone.call;
    if (!call || this.#wish?.callId !== call.call_id || call.muted === this.#wish.muted) this.#wish = null;
    const muted = this.#wish?.muted ?? call?.muted ?? false;
    const over = !call && this.#view.phone?.call;
    this.#show({ phone, muted, ...(over && { problem: null }) });
    this.#carry(call, muted, fresh);
    if (fresh && call && this.#wish) void this.do({ do: 'mute', call_id: call.call_id, on: muted });
  }

  /** Takes up, goes on with or gives up the audio of the call. */
  #carry(call: PhoneCall | null, muted: boolean, fresh: boolean): void {
    if (!call?.here) {
      const mine = call !== null && recall(CARRIED, ofThisPage) === call.call_id;
      const free = call?.media === 'wanted' || call?.media === 'lost';
      // Where another page has taken it meanwhile, that is as well.
      if (mine && fresh && free) this.#socket.send({ do: 'here', call_id: call.call_id }).catch(() => {});
      else keep(CARRIED, null, ofThisPage);
      this.audio.follow(null);
      return;
    }
    keep(CARRIED, call.call_id, ofThisPage);
    this.audio.follow({ callId: call.call_id, media: call.media, speaks: speaks(call), muted });
  }

  async #tryMicrophone(): Promise<boolean> {
    const { openMicrophone: open = openMicrophone } = this.#options;
    try {
      stopStream(await open(chosenDevices().microphone));
      this.#show({ problem: null });
      return true;
    } catch (error) {
      const problem = error instanceof CaptureError ? error.problem : 'unsupported';
      this.#ask(problem, () => void this.setStatus('online'));
      return false;
    }
  }

  #ask(problem: CaptureProblem, retry: () => void): void {
    this.#afterProblem = retry;
    this.#show({ problem });
  }

  #giveUpWish(): void {
    this.#wish = null;
    const muted = this.#view.phone?.call?.muted ?? false;
    this.audio.mute(muted);
    this.#show({ muted });
  }

  readonly #touched = () => this.audio.touched();

  #show(change: Partial<PhoneView>): void {
    this.#view = { ...this.#view, ...change };
    for (const tell of this.#listeners) tell();
  }
}

/** Whether somebody may hear this side. */
export function speaks({ part, mode }: Pick<PhoneCall, 'part' | 'mode'>): boolean {
  return part === 'agent' || mode === 'whisper' || mode === 'barge';
}
