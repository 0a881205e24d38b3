import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Uplink } from '../src/mic/uplink';
import { FakeSocket } from './fixtures/socket';

const frame = (n: number) => new Uint8Array([n]).buffer;
const framesSent = (socket: FakeSocket) =>
  socket.sent.flatMap((data) => (data instanceof ArrayBuffer ? [...new Uint8Array(data)] : []));
const commandsSent = (socket: FakeSocket) =>
  socket.sent.flatMap((data) => (typeof data === 'string' ? [JSON.parse(data)] : []));
const started = { type: 'started', call_id: 'call-1', track_id: 'track-1' };

let told: string[];
let lostMs: number;
let uplink: Uplink;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened = [];
  told = [];
  lostMs = 0;
  uplink = new Uplink({
    callId: 'mine-1',
    agentId: 'Dana',
    title: 'Microphone of Dana',
    sampleRateHz: 48_000,
    onStarted: (callId) => told.push(`started ${callId}`),
    onReconnecting: () => told.push('reconnecting'),
    onLost: (ms) => {
      lostMs = ms;
    },
    onFailed: (message) => told.push(`failed ${message}`),
    openSocket: () => FakeSocket.open('/ws/call'),
  });
  uplink.open();
});

afterEach(() => vi.useRealTimers());

const accept = () => {
  FakeSocket.last.accept();
  FakeSocket.last.say(started);
};

describe('a healthy uplink', () => {
  it('says start, then sends what was recorded meanwhile, in order', () => {
    uplink.send(frame(1));
    FakeSocket.last.accept();
    expect(commandsSent(FakeSocket.last)).toEqual([
      {
        action: 'start',
        call_id: 'mine-1',
        agent_id: 'Dana',
        title: 'Microphone of Dana',
        sample_rate: 48_000,
        channels: 1,
        format: 'pcm',
      },
    ]);
    uplink.send(frame(2));
    expect(framesSent(FakeSocket.last)).toEqual([]);
    FakeSocket.last.say(started);
    uplink.send(frame(3));
    expect(framesSent(FakeSocket.last)).toEqual([1, 2, 3]);
    expect(told).toEqual(['started call-1']);
  });

  it('says stop and waits for the answer', async () => {
    accept();
    const stopped = uplink.stop();
    expect(commandsSent(FakeSocket.last).at(-1)).toEqual({ action: 'stop' });
    expect(FakeSocket.last.closed).toBe(false);
    FakeSocket.last.say({ type: 'stopped' });
    await stopped;
    expect(FakeSocket.last.closed).toBe(true);
  });

  it('does not wait for ever', async () => {
    accept();
    const stopped = uplink.stop();
    await vi.advanceTimersByTimeAsync(3_100);
    await stopped;
    expect(FakeSocket.last.closed).toBe(true);
  });
});

describe('an uplink that breaks', () => {
  it('goes on with the same call, and sends what waited', () => {
    accept();
    uplink.send(frame(1));
    FakeSocket.last.drop();
    uplink.send(frame(2));
    uplink.send(frame(3));
    vi.advanceTimersByTime(600);
    accept();
    expect(commandsSent(FakeSocket.last)[0]).toMatchObject({ action: 'start', call_id: 'mine-1' });
    expect(framesSent(FakeSocket.last)).toEqual([2, 3]);
    expect(told).toEqual(['started call-1', 'reconnecting', 'started call-1']);
    expect(lostMs).toBe(0);
  });

  it('keeps the last 15 s and counts the rest as lost', () => {
    accept();
    FakeSocket.last.drop();
    for (let n = 0; n < 80; n += 1) uplink.send(frame(n));
    expect(lostMs).toBe(5 * 200);
    vi.advanceTimersByTime(600);
    accept();
    expect(framesSent(FakeSocket.last)).toEqual(Array.from({ length: 75 }, (_, i) => i + 5));
  });

  it('holds frames back from a socket that does not drain', () => {
    accept();
    FakeSocket.last.bufferedAmount = 10_000_000;
    uplink.send(frame(1));
    expect(framesSent(FakeSocket.last)).toEqual([]);
    FakeSocket.last.bufferedAmount = 0;
    uplink.send(frame(2));
    expect(framesSent(FakeSocket.last)).toEqual([1, 2]);
  });

  it('gives up where it never began, and says so', () => {
    for (let n = 0; n < 4; n += 1) {
      FakeSocket.last.drop();
      vi.advanceTimersByTime(15_000);
    }
    expect(told.at(-1)).toMatch(/^failed The server did not answer/);
    expect(FakeSocket.opened).toHaveLength(4);
  });

  it('passes on why the server refused', () => {
    FakeSocket.last.accept();
    FakeSocket.last.say({ type: 'error', code: 'busy', message: 'Too many calls' });
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual(['failed Too many calls']);
    expect(FakeSocket.opened).toHaveLength(1);
  });
});
