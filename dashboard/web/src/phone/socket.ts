/** The phone's WebSocket: it heals itself, tells the phone's whole state, and carries commands to the server. */

import { learnServerTime } from '../clock';
import { backoffMs } from '../state/backoff';
import { type Command, type Phone, readMessage } from './phone';

const SILENCE_MS = 25_000;
const ACK_WITHIN_MS = 6_000;
const ABSENT_AFTER_TRIES = 3;
const ABSENT_AGAIN_MS = 30_000;
const SESSION_ENDED = 4001;

/** `absent`: as far as is known, this server has no phones. */
export type PhoneConnection = 'absent' | 'live' | 'reconnecting' | 'offline';

/** A command that was not carried out; `message` is one sentence for the person who asked. */
export class CommandRefused extends Error {
  override readonly name = 'CommandRefused';
}

export interface PhoneSocketOptions {
  onPhone: (phone: Phone) => void;
  onConnection: (connection: PhoneConnection) => void;
  /** The server tells the person something, in a sentence. */
  onTold: (sentence: string) => void;
  /** The session has ended; it does not try again. */
  onSessionEnded: () => void;
  openSocket?: () => WebSocket;
}

interface Waiting {
  resolve: () => void;
  reject: (error: CommandRefused) => void;
  timer: ReturnType<typeof setTimeout>;
}

export class PhoneSocket {
  readonly #options: PhoneSocketOptions;
  #socket: WebSocket | null = null;
  #connection: PhoneConnection = 'absent';
  #everLive = false;
  #closed = true;
  #attempt = 0;
  #commands = 0;
  #messages = 0;
  readonly #waiting = new Map<string, Waiting>();
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PhoneSocketOptions) {
    this.#options = options;
  }

  open(): void {
    this.#closed = false;
    window.addEventListener('offline', this.#goOffline);
    window.addEventListener('online', this.#goOnline);
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener('offline', this.#goOffline);
    window.removeEventListener('online', this.#goOnline);
    clearTimeout(this.#retryTimer);
    this.#drop();
  }

  /** Resolves once the server has carried it out. Throws CommandRefused, also when no answer comes. */
  send(command: Command): Promise<void> {
    const socket = this.#socket;
    if (this.#connection !== 'live' || !socket) {
      return Promise.reject(new CommandRefused('The server is not connected. Try again in a moment.'));
    }
    this.#commands += 1;
    const id = String(this.#commands);
    const before = this.#messages;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new CommandRefused('The server did not answer.'));
        // A connection that has said nothing since is as good as gone.
        if (this.#messages === before) this.#retry();
      }, ACK_WITHIN_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ ...command, id }));
    });
  }

  #connect(): void {
    const { openSocket = openSameOrigin } = this.#options;
    const socket = openSocket();
    this.#socket = socket;
    socket.onmessage = (message: MessageEvent) => {
      if (typeof message.data === 'string') this.#receive(message.data);
    };
    socket.onclose = (event: CloseEvent | undefined) => {
      if (event?.code === SESSION_ENDED) {
        this.close();
        this.#options.onSessionEnded();
      } else this.#retry();
    };
  }

  #receive(text: string): void {
    const message = readMessage(text);
    if (!message) return;
    this.#messages += 1;
    // Only servers that send heartbeats are expected to go on with them.
    if (message.type === 'heartbeat' || this.#silenceTimer !== undefined) this.#watchSilence();
    switch (message.type) {
      case 'phone':
        this.#attempt = 0;
        this.#everLive = true;
        this.#tell('live');
        this.#options.onPhone(message.phone);
        break;
      case 'done':
        this.#settle(message.id)?.resolve();
        break;
      case 'refused':
        if (message.id === null) this.#options.onTold(message.detail);
        else this.#settle(message.id)?.reject(new CommandRefused(message.detail || 'The server refused.'));
        break;
      case 'heartbeat':
        if (message.at) learnServerTime(message.at);
        break;
    }
  }

  #settle(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  #retry(): void {
    if (this.#closed) return;
    this.#drop();
    clearTimeout(this.#retryTimer);
    if (!navigator.onLine) {
      this.#goOffline();
      return;
    }
    this.#attempt += 1;
    const absent = !this.#everLive && this.#attempt >= ABSENT_AFTER_TRIES;
    this.#tell(this.#everLive ? 'reconnecting' : 'absent');
    this.#retryTimer = setTimeout(() => this.#connect(), absent ? ABSENT_AGAIN_MS : backoffMs(this.#attempt));
  }

  readonly #goOffline = () => {
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#tell(this.#everLive ? 'offline' : 'absent');
  };

  readonly #goOnline = () => {
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#attempt = 1;
    this.#tell(this.#everLive ? 'reconnecting' : 'absent');
    this.#connect();
  };

  #watchSilence(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#retry(), SILENCE_MS);
  }

  /** Leaves the socket without hearing from it again; who waits for an answer is told that none comes. */
  #drop(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = undefined;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const id of [...this.#waiting.keys()]) {
      this.#settle(id)?.reject(new CommandRefused('The connection to the server was lost.'));
    }
  }

  #tell(connection: PhoneConnection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    this.#options.onConnection(connection);
  }
}

function openSameOrigin(): WebSocket {
  return new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws/phone`);
}
