import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Phone } from '../src/phone/phone';
import { CommandRefused, type PhoneConnection, PhoneSocket } from '../src/phone/socket';
import { PHONE } from './fixtures/phone';
import { FakeSocket } from './fixtures/socket';

let network: EventTarget;
let onLine: boolean;
let phones: Phone[];
let connections: PhoneConnection[];
let told: string[];
let sessionsEnded: number;
let socket: PhoneSocket;

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
  phones = [];
  connections = [];
  told = [];
  sessionsEnded = 0;
  socket = new PhoneSocket({
    onPhone: (phone) => phones.push(phone),
    onConnection: (connection) => connections.push(connection),
    onTold: (sentence) => told.push(sentence),
    onSessionEnded: () => {
      sessionsEnded += 1;
    },
    openSocket: () => FakeSocket.open('/ws/phone'),
  });
  socket.open();
});

afterEach(() => {
  socket.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const show = (change: Partial<Phone> = {}) =>
  FakeSocket.last.say({ type: 'phone', phone: { ...PHONE, ...change } });
const sent = () => FakeSocket.last.sent.map((data) => JSON.parse(data as string));

describe('the state', () => {
  it('is handed on whole, each time', () => {
    show();
    show({ status: 'break' });
    expect(phones.map(({ status }) => status)).toEqual(['online', 'break']);
    expect(connections).toEqual(['live']);
  });

  it('may leave lists out, and hold what is not known here', () => {
    FakeSocket.last.say({ type: 'phone', phone: { status: 'offline', hat: 'bowler' } });
    expect(phones[0]).toMatchObject({ status: 'offline', offer: null, call: null, agents: [], queues: [] });
  });

  it('passes over what is no message', () => {
    FakeSocket.last.onmessage?.({ data: 'not json' });
    FakeSocket.last.say(['no', 'message']);
    FakeSocket.last.say({ type: 'phone', phone: null });
    FakeSocket.last.say({ type: 'weather', sun: true });
    expect(phones).toEqual([]);
    expect(connections).toEqual([]);
  });

  it('goes with sentences that nobody asked for', () => {
    show();
    FakeSocket.last.say({ type: 'refused', id: null, detail: 'You did not answer.' });
    expect(told).toEqual(['You did not answer.']);
  });
});

describe('commands', () => {
  it('are carried out, or refused with a reason', async () => {
    show();
    const done = socket.send({ do: 'answer', call_id: 'call-1' });
    const refused = socket.send({ do: 'hold', call_id: 'call-1', on: true });
    expect(sent()).toEqual([
      { do: 'answer', call_id: 'call-1', id: '1' },
      { do: 'hold', call_id: 'call-1', on: true, id: '2' },
    ]);
    FakeSocket.last.say({ type: 'refused', id: '2', detail: 'you are not in that call' });
    FakeSocket.last.say({ type: 'done', id: '1' });
    await expect(done).resolves.toBeUndefined();
    await expect(refused).rejects.toThrow('you are not in that call');
  });

  it('fail at once without a connection', async () => {
    await expect(socket.send({ do: 'status', status: 'online' })).rejects.toThrow(CommandRefused);
    expect(sent()).toEqual([]);
  });

  it('fail when the connection breaks, and the next one knows nothing of them', async () => {
    show();
    const lost = socket.send({ do: 'status', status: 'online' });
    FakeSocket.last.drop();
    await expect(lost).rejects.toThrow('The connection to the server was lost.');
    vi.advanceTimersByTime(600);
    expect(FakeSocket.opened).toHaveLength(2);
    expect(sent()).toEqual([]);
  });

  it('without an answer from a silent server fail, and the connection is made anew', async () => {
    show();
    const lost = socket.send({ do: 'status', status: 'online' });
    vi.advanceTimersByTime(6_100);
    await expect(lost).rejects.toThrow('The server did not answer.');
    expect(FakeSocket.opened[0]?.closed).toBe(true);
    expect(connections.at(-1)).toBe('reconnecting');
  });

  it('without an answer from a server that goes on talking leave the connection alone', async () => {
    show();
    const lost = socket.send({ do: 'status', status: 'online' });
    show();
    vi.advanceTimersByTime(6_100);
    await expect(lost).rejects.toThrow('The server did not answer.');
    expect(FakeSocket.opened[0]?.closed).toBe(false);
  });
});

describe('a connection that breaks', () => {
  it('comes back, sooner the first time', () => {
    show();
    FakeSocket.last.drop();
    expect(connections).toEqual(['live', 'reconnecting']);
    vi.advanceTimersByTime(600);
    FakeSocket.last.drop();
    vi.advanceTimersByTime(15_000);
    show();
    expect(connections).toEqual(['live', 'reconnecting', 'live']);
  });

  it('is left when heartbeats that came stay away', () => {
    show();
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.opened).toHaveLength(1);
    FakeSocket.last.say({ type: 'heartbeat' });
    vi.advanceTimersByTime(24_000);
    show();
    vi.advanceTimersByTime(24_000);
    expect(FakeSocket.opened).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect(FakeSocket.opened[0]?.closed).toBe(true);
  });

  it('waits while the network is away, and comes back at once with it', () => {
    show();
    onLine = false;
    network.dispatchEvent(new Event('offline'));
    vi.advanceTimersByTime(120_000);
    expect(FakeSocket.opened).toHaveLength(1);
    expect(connections.at(-1)).toBe('offline');
    onLine = true;
    network.dispatchEvent(new Event('online'));
    expect(FakeSocket.opened).toHaveLength(2);
  });

  it('stays away when the session has ended', () => {
    show();
    FakeSocket.last.drop(4001);
    vi.advanceTimersByTime(120_000);
    expect(sessionsEnded).toBe(1);
    expect(FakeSocket.opened).toHaveLength(1);
  });
});

describe('a server without phones', () => {
  it('is asked ever more seldom, and nothing is said of it', () => {
    FakeSocket.last.drop();
    vi.advanceTimersByTime(15_000);
    FakeSocket.last.drop();
    vi.advanceTimersByTime(15_000);
    FakeSocket.last.drop();
    vi.advanceTimersByTime(29_000);
    expect(FakeSocket.opened).toHaveLength(3);
    vi.advanceTimersByTime(2_000);
    expect(FakeSocket.opened).toHaveLength(4);
    expect(connections).toEqual([]);
  });

  it('may get them later', () => {
    FakeSocket.last.drop();
    vi.advanceTimersByTime(15_000);
    show();
    expect(connections).toEqual(['live']);
  });
});

it('a closed socket says nothing more', () => {
  show();
  const last = FakeSocket.last;
  socket.close();
  expect(last.closed).toBe(true);
  vi.advanceTimersByTime(60_000);
  expect(FakeSocket.opened).toHaveLength(1);
});
