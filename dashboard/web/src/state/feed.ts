/** The live feed: one WebSocket that heals itself and resumes after the last event it delivered. */

import type { LiveEvent } from '../api/types';
import { learnServerTime } from '../clock';
import { backoffMs } from './backoff';

const SILENCE_MS = 25_000;
const BATCH_MS = 50;

export type Connection =
  | { phase: 'connecting' }
  | { phase: 'live' }
  | { phase: 'reconnecting'; attempt: number }
  | { phase: 'offline' };

export interface FeedStatus {
  connection: Connection;
  /** Client clock; null before the first message. */
  lastMessageAt: number | null;
  degraded: readonly string[];
}

export const INITIAL_STATUS: FeedStatus = {
  connection: { phase: 'connecting' },
  lastMessageAt: null,
  degraded: [],
};

export interface FeedOptions {
  /** A call's id, or `*` for all calls. */
  call: string;
  after: string;
  onEvents: (events: LiveEvent[]) => void;
  onStatus: (status: FeedStatus) => void;
  /** The cursor is too old: fetch a new snapshot, then open a new feed from it. This one is closed. */
  onResync: () => void;
  /** The socket did not open: perhaps the session has ended. */
  onRefused?: () => void;
  openSocket?: (path: string) => WebSocket;
}

export class EventFeed {
  readonly #options: FeedOptions;
  #after: string;
  #status: FeedStatus = INITIAL_STATUS;
  #socket: WebSocket | null = null;
  #attempt = 0;
  #closed = false;
  #batch: LiveEvent[] = [];
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#after = options.after;
  }

  open(): void {
    window.addEventListener('offline', this.#goOffline);
    window.addEventListener('online', this.#goOnline);
    if (navigator.onLine) this.#connect();
    else this.#goOffline();
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener('offline', this.#goOffline);
    window.removeEventListener('online', this.#goOnline);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#batchTimer);
    this.#drop();
  }

  #connect(): void {
    const { call, openSocket = openSameOrigin } = this.#options;
    const query = new URLSearchParams({ call, after: this.#after });
    const socket = openSocket(`/ws/events?${query}`);
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#tell({ connection: { phase: 'live' }, lastMessageAt: Date.now() });
      this.#watchSilence();
    };
    socket.onmessage = (message: MessageEvent) => {
      if (typeof message.data === 'string') this.#receive(message.data);
    };
    socket.onclose = () => {
      if (!opened) this.#options.onRefused?.();
      this.#retry();
    };
    this.#watchSilence();
  }

  #receive(text: string): void {
    const event = parse(text);
    if (!event) return;
    this.#attempt = 0;
    this.#watchSilence();
    if (event.type === 'resync') {
      this.#flush();
      this.close();
      this.#tell({ connection: { phase: 'reconnecting', attempt: 1 } });
      this.#options.onResync();
      return;
    }
    if (event.type === 'heartbeat') {
      learnServerTime(event.at);
      this.#tell({ degraded: event.data.degraded ?? [], lastMessageAt: Date.now() });
    } else {
      this.#status = { ...this.#status, lastMessageAt: Date.now() };
      this.#batch.push(event);
      this.#batchTimer ??= setTimeout(() => this.#flush(), BATCH_MS);
    }
    if (event.id) this.#after = event.id;
  }

  /** Hands on what has gathered: many calls speaking at once become one rendering. */
  #flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    const events = this.#batch;
    if (events.length === 0) return;
    this.#batch = [];
    this.#options.onEvents(events);
  }

  #retry(): void {
    if (this.#closed) return;
    this.#drop();
    if (!navigator.onLine) {
      this.#goOffline();
      return;
    }
    this.#attempt += 1;
    this.#tell({ connection: { phase: 'reconnecting', attempt: this.#attempt } });
    this.#retryTimer = setTimeout(() => this.#connect(), backoffMs(this.#attempt));
  }

  readonly #goOffline = () => {
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#tell({ connection: { phase: 'offline' } });
  };

  readonly #goOnline = () => {
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#attempt = 1;
    this.#tell({ connection: { phase: 'reconnecting', attempt: this.#attempt } });
    this.#connect();
  };

  #watchSilence(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#retry(), SILENCE_MS);
  }

  /** Leaves the socket without hearing from it again; what it delivered is kept. */
  #drop(): void {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #tell(change: Partial<FeedStatus>): void {
    this.#status = { ...this.#status, ...change };
    this.#options.onStatus(this.#status);
  }
}

function openSameOrigin(path: string): WebSocket {
  return new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`);
}

function parse(text: string): LiveEvent | null {
  try {
    const event: unknown = JSON.parse(text);
    return typeof event === 'object' && event !== null && 'type' in event && 'data' in event
      ? (event as LiveEvent)
      : null;
  } catch {
    return null;
  }
}
