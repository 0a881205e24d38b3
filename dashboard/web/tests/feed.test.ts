import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LiveEvent } from '../src/api/types';
import { EventFeed, type FeedStatus } from '../src/state/feed';
import { EVENTS } from './fixtures/call';
import { FakeSocket } from './fixtures/socket';

let network: EventTarget;
let onLine: boolean;
let delivered: LiveEvent[];
let status: FeedStatus;
let resyncs: number;
let refusals: number;
let feed: EventFeed;

beforeEach(() => {
  vi.useFakeTimers();
  network = new EventTarget();
  onLine = true;
  vi.stubGlobal('window', network);
  vi.stubGlobal('navigator', {
    get onLine() {
      return onLine;
    },
  });
  FakeSocket.opened = [];
  delivered = [];
  resyncs = 0;
  refusals = 0;
  feed = new EventFeed({
    call: '*',
    after: '0-0',
    onEvents: (events) => delivered.push(...events),
    onStatus: (told) => {
      status = told;
    },
    onResync: () => {
      resyncs += 1;
    },
    onRefused: () => {
      refusals += 1;
    },
    openSocket: FakeSocket.open,
  });
  feed.open();
});

afterEach(() => {
  feed.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const say = (...events: readonly LiveEvent[]) => {
  for (const event of events) FakeSocket.last.say(event);
};
const heartbeat = (degraded: string[] = []) =>
  FakeSocket.last.say({
    id: '',
    type: 'heartbeat',
    call_id: '',
    at: new Date().toISOString(),
    data: { degraded },
  });
const cursor = () => new URLSearchParams(FakeSocket.last.path.split('?')[1]).get('after');

describe('a healthy feed', () => {
  it('starts from the cursor and hands events on in order', () => {
    expect(FakeSocket.last.path).toBe('/ws/events?call=*&after=0-0');
    FakeSocket.last.accept();
    expect(status.connection).toEqual({ phase: 'live' });
    say(...EVENTS);
    vi.advanceTimersByTime(60);
    expect(delivered).toEqual(EVENTS);
  });

  it('passes on what is degraded', () => {
    FakeSocket.last.accept();
    heartbeat(['redis']);
    expect(status.degraded).toEqual(['redis']);
    heartbeat();
    expect(status.degraded).toEqual([]);
  });

  it('passes over what is no event', () => {
    FakeSocket.last.accept();
    FakeSocket.last.onmessage?.({ data: 'not json' });
    FakeSocket.last.say(['no', 'event']);
    vi.advanceTimersByTime(60);
    expect(delivered).toEqual([]);
  });
});

describe('a feed that breaks', () => {
  it('comes back after the last event, and loses and doubles none', () => {
    FakeSocket.last.accept();
    say(...EVENTS.slice(0, 7));
    FakeSocket.last.drop();
    expect(status.connection).toEqual({ phase: 'reconnecting', attempt: 1 });
    vi.advanceTimersByTime(600);
    expect(cursor()).toBe(EVENTS[6]?.id);
    FakeSocket.last.accept();
    say(...EVENTS.slice(7));
    vi.advanceTimersByTime(60);
    expect(delivered).toEqual(EVENTS);
    expect(status.connection).toEqual({ phase: 'live' });
  });

  it('keeps its place over heartbeats, which have no id', () => {
    FakeSocket.last.accept();
    say(...EVENTS.slice(0, 3));
    heartbeat();
    FakeSocket.last.drop();
    vi.advanceTimersByTime(600);
    expect(cursor()).toBe(EVENTS[2]?.id);
  });

  it('waits longer each time, at most 15 s', () => {
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      FakeSocket.last.drop();
      expect(status.connection).toEqual({ phase: 'reconnecting', attempt });
      vi.advanceTimersByTime(15_000);
      expect(FakeSocket.opened).toHaveLength(attempt + 1);
    }
    expect(refusals).toBe(8);
  });

  it('leaves a connection that has been silent for 25 s', () => {
    FakeSocket.last.accept();
    vi.advanceTimersByTime(20_000);
    heartbeat();
    vi.advanceTimersByTime(24_000);
    expect(FakeSocket.opened).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect(FakeSocket.opened[0]?.closed).toBe(true);
    expect(FakeSocket.opened).toHaveLength(2);
  });
});

describe('the network', () => {
  it('away: waits without trying; back: connects at once', () => {
    FakeSocket.last.accept();
    say(...EVENTS.slice(0, 2));
    onLine = false;
    network.dispatchEvent(new Event('offline'));
    expect(status.connection).toEqual({ phase: 'offline' });
    vi.advanceTimersByTime(120_000);
    expect(FakeSocket.opened).toHaveLength(1);
    onLine = true;
    network.dispatchEvent(new Event('online'));
    expect(FakeSocket.opened).toHaveLength(2);
    expect(cursor()).toBe(EVENTS[1]?.id);
  });
});

describe('resync', () => {
  it('hands on what came before, closes, and asks for a new snapshot', () => {
    FakeSocket.last.accept();
    say(...EVENTS.slice(0, 2));
    FakeSocket.last.say({ id: '', type: 'resync', call_id: '*', at: '', data: {} });
    expect(delivered).toHaveLength(2);
    expect(resyncs).toBe(1);
    expect(status.connection.phase).toBe('reconnecting');
    expect(FakeSocket.last.closed).toBe(true);
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.opened).toHaveLength(1);
  });
});

it('a closed feed says nothing more', () => {
  FakeSocket.last.accept();
  say(...EVENTS.slice(0, 2));
  feed.close();
  vi.advanceTimersByTime(60_000);
  expect(delivered).toEqual([]);
  expect(FakeSocket.opened).toHaveLength(1);
});
