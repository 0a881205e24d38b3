/** The microphone in a call: muted at its source, exchanged without a break, given back when it is not needed. */

import { CaptureError, type CaptureProblem, openMicrophone, stopStream } from '../mic/microphone';

export type VoiceState = 'off' | 'asking' | 'on' | 'failed';

export interface VoiceOptions {
  /** Null: there is no microphone any more. */
  onStream: (stream: MediaStream | null) => void;
  onState: (state: VoiceState) => void;
  onProblem: (problem: CaptureProblem) => void;
  open?: (deviceId: string | null) => Promise<MediaStream>;
}

export class Voice {
  readonly #options: VoiceOptions;
  #stream: MediaStream | null = null;
  #state: VoiceState = 'off';
  #muted = false;
  /** Grows with each start and stop, so that a microphone that opens late is not used. */
  #turn = 0;

  constructor(options: VoiceOptions) {
    this.#options = options;
  }

  get state(): VoiceState {
    return this.#state;
  }

  /** Opens this microphone in place of the one in use, which stays until the new one is there. */
  async start(deviceId: string | null): Promise<void> {
    const { open = openMicrophone, onStream, onProblem } = this.#options;
    this.#turn += 1;
    const turn = this.#turn;
    if (!this.#stream) this.#tell('asking');
    try {
      const stream = await open(deviceId);
      if (turn !== this.#turn) {
        stopStream(stream);
        return;
      }
      this.#release();
      this.#stream = stream;
      this.mute(this.#muted);
      stream.getAudioTracks()[0]?.addEventListener('ended', this.#unplugged);
      onStream(stream);
      this.#tell('on');
    } catch (error) {
      if (turn !== this.#turn) return;
      if (!this.#stream) this.#tell('failed');
      onProblem(error instanceof CaptureError ? error.problem : 'unsupported');
    }
  }

  stop(): void {
    this.#turn += 1;
    if (this.#stream) this.#options.onStream(null);
    this.#release();
    this.#tell('off');
  }

  mute(on: boolean): void {
    this.#muted = on;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !on;
  }

  /** The system's microphone takes the place of one that was pulled out. */
  readonly #unplugged = () => {
    this.#release();
    this.#options.onStream(null);
    void this.start(null);
  };

  #release(): void {
    this.#stream?.getAudioTracks()[0]?.removeEventListener('ended', this.#unplugged);
    stopStream(this.#stream);
    this.#stream = null;
  }

  #tell(state: VoiceState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onState(state);
  }
}
