/** How loud streams are at this moment. */

import { loudness } from '../mic/loudness';

const FFT_SIZE = 512;

/** The meters of one call; they share an audio context that ends with it. */
export class Meters {
  #context: AudioContext | null = null;

  /** 0..1 of this moment, of this stream; it is not played. */
  of(stream: MediaStream): () => number {
    try {
      this.#context ??= new AudioContext({ latencyHint: 'interactive' });
      const analyser = new AnalyserNode(this.#context, { fftSize: FFT_SIZE });
      this.#context.createMediaStreamSource(stream).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      return () => {
        analyser.getFloatTimeDomainData(samples);
        return loudness(samples);
      };
    } catch {
      // A browser without it shows meters at rest; the call goes on.
      return () => 0;
    }
  }

  /** Lets a browser go on that waited for a gesture. */
  resume(): void {
    if (this.#context?.state === 'suspended') void this.#context.resume();
  }

  close(): void {
    void this.#context?.close();
    this.#context = null;
  }
}
