/** Carries frames of PCM to the server; while the socket is away they wait in a bounded buffer. */

import { backoffMs } from '../state/backoff';

const FRAME_MS = 200;
const BUFFER_FRAMES = 15_000 / FRAME_MS;
const STOP_WAIT_MS = 3_000;
const TRIES_BEFORE_FIRST_START = 3;

export interface UplinkOptions {
  callId: string;
  /** Who speaks: shown as the speaker's name. */
  agentId: string;
  title: string;
  sampleRateHz: number;
  /** The server took the call; `callId` is its own id for it. Again after each reconnection. */
  onStarted: (callId: string) => void;
  onReconnecting: () => void;
  onLost: (lostMs: number) => void;
  /** It will not go on: what the server said, or what went wrong. */
  onFailed: (message: string) => void;
  openSocket?: () => WebSocket;
}

type Reply =
  | { type: 'started'; call_id: string; track_id: string }
  | { type: 'stopped' }
  | { type: 'error'; code: string; message: string };

export class Uplink {
  readonly #options: UplinkOptions;
  #socket: WebSocket | null = null;
  #started = false;
  #everStarted = false;
  #done = false;
  #attempt = 0;
  #waiting: ArrayBuffer[] = [];
  #lostFrames = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #onStopped: () => void = () => {};

  constructor(options: UplinkOptions) {
    this.#options = options;
  }

  open(): void {
    const { openSocket = openSameOrigin } = this.#options;
    const socket = openSocket();
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onopen = () => {
      const { callId, agentId, title, sampleRateHz } = this.#options;
      socket.send(
        JSON.stringify({
          action: 'start',
          call_id: callId,
          agent_id: agentId,
          title,
          sample_rate: sampleRateHz,
          channels: 1,
          format: 'pcm',
        }),
      );
    };
    socket.onmessage = (message: MessageEvent) => this.#receive(message.data);
    socket.onclose = () => this.#reconnect();
  }

  send(frame: ArrayBuffer): void {
    this.#waiting.push(frame);
    if (this.#waiting.length > BUFFER_FRAMES) {
      this.#waiting.shift();
      this.#lostFrames += 1;
      this.#options.onLost(this.#lostFrames * FRAME_MS);
    }
    this.#pump();
  }

  /** Sends what is waiting and `stop`, and waits a little for the server to agree. */
  async stop(): Promise<void> {
    this.#pump();
    if (this.#started) {
      await new Promise<void>((resolve) => {
        this.#onStopped = resolve;
        setTimeout(resolve, STOP_WAIT_MS);
        this.#socket?.send(JSON.stringify({ action: 'stop' }));
      });
    }
    this.#close();
  }

  #receive(data: unknown): void {
    if (typeof data !== 'string') return;
    const reply = JSON.parse(data) as Reply;
    switch (reply.type) {
      case 'started':
        this.#started = true;
        this.#everStarted = true;
        this.#attempt = 0;
        this.#options.onStarted(reply.call_id);
        this.#pump();
        break;
      case 'stopped':
        this.#onStopped();
        break;
      case 'error':
        this.#fail(reply.message);
        break;
    }
  }

  #pump(): void {
    const socket = this.#socket;
    if (!this.#started || !socket) return;
    // A socket that does not drain keeps the rest here, where the bound holds.
    const frameBytes = (this.#options.sampleRateHz * 2 * FRAME_MS) / 1000;
    while (this.#waiting.length > 0 && socket.bufferedAmount < BUFFER_FRAMES * frameBytes) {
      socket.send(this.#waiting.shift() as ArrayBuffer);
    }
  }

  #reconnect(): void {
    this.#started = false;
    this.#onStopped();
    if (this.#done) return;
    this.#attempt += 1;
    if (!this.#everStarted && this.#attempt > TRIES_BEFORE_FIRST_START) {
      this.#fail('The server did not answer. Check that it is running, then try again.');
      return;
    }
    this.#options.onReconnecting();
    this.#retryTimer = setTimeout(() => this.open(), backoffMs(this.#attempt));
  }

  #fail(message: string): void {
    if (this.#done) return;
    this.#close();
    this.#options.onFailed(message);
  }

  #close(): void {
    this.#done = true;
    this.#started = false;
    clearTimeout(this.#retryTimer);
    this.#socket?.close();
  }
}

function openSameOrigin(): WebSocket {
  return new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws/call`);
}
