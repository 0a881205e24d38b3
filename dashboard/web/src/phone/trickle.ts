/** Sends ICE candidates to the server in the order they were found, those found together in one request. */

import type { Signalling } from './signalling';

export class Trickle {
  readonly #signalling: Pick<Signalling, 'trickle'>;
  readonly #signal: AbortSignal;
  #legId: string | null = null;
  #found: (RTCIceCandidateInit | null)[] = [];
  #sending = false;

  constructor(signalling: Pick<Signalling, 'trickle'>, signal: AbortSignal) {
    this.#signalling = signalling;
    this.#signal = signal;
  }

  /** Takes a candidate; null: there are no more. Those found before the leg is known wait for it. */
  add(candidate: RTCIceCandidateInit | null): void {
    this.#found.push(candidate);
    void this.#flush();
  }

  start(legId: string): void {
    this.#legId = legId;
    void this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#sending || this.#legId === null) return;
    this.#sending = true;
    while (this.#found.length > 0 && !this.#signal.aborted) {
      const together = this.#found;
      this.#found = [];
      // One that does not arrive is made up for by the others, or else the connection fails and is tried anew.
      await this.#signalling.trickle(this.#legId, together, this.#signal).catch(() => {});
    }
    this.#sending = false;
  }
}
