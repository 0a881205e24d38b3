/** Runs on the audio thread: posts a 200 ms frame of PCM at a time, and the rest when told to flush. */

import { Framer } from './framer';

declare const sampleRate: number;
declare function registerProcessor(name: string, processor: unknown): void;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

const FRAME_S = 0.2;

class CaptureProcessor extends AudioWorkletProcessor {
  readonly #framer = new Framer(Math.round(sampleRate * FRAME_S));

  constructor() {
    super();
    this.port.onmessage = () => {
      const rest = this.#framer.flush();
      if (rest) this.port.postMessage(rest.buffer, [rest.buffer]);
      this.port.postMessage('flushed');
    };
  }

  process(inputs: Float32Array[][]): boolean {
    const channel = inputs[0]?.[0];
    if (channel) {
      for (const frame of this.#framer.push(channel)) this.port.postMessage(frame.buffer, [frame.buffer]);
    }
    return true;
  }
}

registerProcessor('hearline-capture', CaptureProcessor);
