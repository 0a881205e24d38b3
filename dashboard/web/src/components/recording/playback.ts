/** A recording being played: the one clock of the player, the waveform and the transcript. */

/** What is needed of an `<audio>` element. */
export type Sound = Pick<
  HTMLMediaElement,
  'currentTime' | 'paused' | 'ended' | 'playbackRate' | 'play' | 'pause' | 'addEventListener'
>;

export interface Span {
  start_ms: number;
  end_ms: number;
}

interface Frames {
  request: (callback: () => void) => number;
  cancel: (handle: number) => void;
}

const SCREEN: Frames = {
  request: (callback) => requestAnimationFrame(callback),
  cancel: (handle) => cancelAnimationFrame(handle),
};

const CHANGES = ['play', 'pause', 'seeking', 'seeked', 'timeupdate', 'ended', 'loadedmetadata'] as const;

export class Playback {
  /** Stretches without speech; they are left out while `skipsSilence`. */
  quiet: readonly Span[] = [];
  skipsSilence = false;
  readonly #frames: Frames;
  readonly #listeners = new Set<() => void>();
  #sound: Sound | null = null;
  #frame: number | null = null;
  #begun = false;
  #jumps = 0;

  constructor(frames: Frames = SCREEN) {
    this.#frames = frames;
  }

  /** Takes the element that plays. Returns how to let it go. */
  attach(sound: Sound): () => void {
    const left = new AbortController();
    this.#sound = sound;
    for (const type of CHANGES) sound.addEventListener(type, this.#changed, { signal: left.signal });
    return () => {
      left.abort();
      sound.pause();
      this.#stopFrames();
      if (this.#sound === sound) this.#sound = null;
    };
  }

  /** Calls back while it plays, at each drawn frame, and after every change. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get timeMs(): number {
    return (this.#sound?.currentTime ?? 0) * 1000;
  }

  get playing(): boolean {
    return this.#sound !== null && !this.#sound.paused && !this.#sound.ended;
  }

  /** Whether somebody has played or moved it; before that no word is being spoken. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Grows each time somebody goes to another place or plays on. */
  get jumps(): number {
    return this.#jumps;
  }

  seek(ms: number): void {
    if (!this.#sound) return;
    this.#begun = true;
    this.#jumps += 1;
    this.#sound.currentTime = Math.max(0, ms) / 1000;
    this.#tell();
  }

  playFrom(ms: number): void {
    this.seek(ms);
    void this.#play();
  }

  toggle(): void {
    if (this.playing) this.#sound?.pause();
    else void this.#play();
  }

  setRate(rate: number): void {
    if (this.#sound) this.#sound.playbackRate = rate;
  }

  async #play(): Promise<void> {
    this.#begun = true;
    this.#jumps += 1;
    try {
      await this.#sound?.play();
    } catch {
      // Refused, or paused before it began: the element's own state and error event tell.
      this.#tell();
    }
  }

  readonly #changed = () => {
    if (this.playing) this.#frame ??= this.#frames.request(this.#drawn);
    else this.#stopFrames();
    this.#tell();
  };

  readonly #drawn = () => {
    this.#frame = this.playing ? this.#frames.request(this.#drawn) : null;
    this.#leaveSilence();
    this.#tell();
  };

  #leaveSilence(): void {
    if (!this.skipsSilence || !this.#sound) return;
    const now = this.timeMs;
    const end = this.quiet.find(({ start_ms, end_ms }) => start_ms <= now && now < end_ms)?.end_ms;
    if (end !== undefined) this.#sound.currentTime = end / 1000;
  }

  #stopFrames(): void {
    if (this.#frame !== null) this.#frames.cancel(this.#frame);
    this.#frame = null;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
