/** Cuts a stream of float samples into frames of equal length as signed 16-bit little-endian PCM. */
export class Framer {
  readonly #length: number;
  #frame: Int16Array<ArrayBuffer>;
  #filled = 0;

  constructor(length: number) {
    this.#length = length;
    this.#frame = new Int16Array(length);
  }

  /** Takes samples in -1..1 and returns the frames that became full. */
  push(samples: Float32Array): Int16Array<ArrayBuffer>[] {
    const full: Int16Array<ArrayBuffer>[] = [];
    for (const sample of samples) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.#frame[this.#filled] = clipped < 0 ? clipped * 0x8000 : clipped * 0x7fff;
      this.#filled += 1;
      if (this.#filled === this.#length) full.push(this.#take());
    }
    return full;
  }

  /** The last, shorter frame; null when nothing is waiting. */
  flush(): Int16Array<ArrayBuffer> | null {
    return this.#filled === 0 ? null : this.#take();
  }

  #take(): Int16Array<ArrayBuffer> {
    const frame = this.#filled === this.#length ? this.#frame : this.#frame.slice(0, this.#filled);
    this.#frame = new Int16Array(this.#length);
    this.#filled = 0;
    return frame;
  }
}
