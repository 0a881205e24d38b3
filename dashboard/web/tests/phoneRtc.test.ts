import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Link, type LinkState } from '../src/phone/rtc';
import { FakePeer, FakeSignalling } from './fixtures/peer';
import { FakeTrack } from './fixtures/phone';

let network: EventTarget;
let signalling: FakeSignalling;
let states: LinkState[];
let streams: unknown[];
let iceServers: RTCIceServer[];
let link: Link;

const track = () => new FakeTrack() as unknown as MediaStreamTrack;
const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(async () => {
  vi.useFakeTimers();
  network = new EventTarget();
  vi.stubGlobal('window', network);
  FakePeer.made = [];
  signalling = new FakeSignalling();
  states = [];
  streams = [];
  iceServers = [{ urls: ['stun:example.org'] }];
  link = new Link({
    callId: 'call-1',
    iceServers: () => iceServers,
    signalling,
    onState: (state) => states.push(state),
    onStream: (stream) => streams.push(stream),
    createPeer: FakePeer.make,
  });
  link.open();
  await settle();
});

afterEach(() => {
  link.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const answer = async (legId = 'leg-1') => {
  signalling.last.answer({ leg_id: legId, sdp: 'answer' });
  await settle();
};
const connect = async () => {
  await answer();
  FakePeer.last.becomes('connected');
};

describe('a connection', () => {
  it('is offered for its call, answered, and connected', async () => {
    expect(signalling.last).toMatchObject({ callId: 'call-1', sdp: 'offer 1' });
    expect(FakePeer.last.configuration.iceServers).toEqual(iceServers);
    await connect();
    expect(FakePeer.last.answer).toBe('answer');
    expect(states).toEqual(['connecting', 'connected']);
  });

  it('trickles candidates in order; those found early wait for the leg', async () => {
    FakePeer.last.find('one');
    FakePeer.last.find('two');
    expect(signalling.trickled).toEqual([]);
    await answer();
    FakePeer.last.find('three');
    FakePeer.last.find(null);
    await settle();
    expect(signalling.trickled.every(({ legId }) => legId === 'leg-1')).toBe(true);
    expect(signalling.trickled.flatMap(({ candidates }) => candidates)).toEqual([
      { candidate: 'one' },
      { candidate: 'two' },
      { candidate: 'three' },
      null,
    ]);
  });

  it('hands on what is heard', () => {
    FakePeer.last.ontrack?.({ track: {}, streams: ['the stream'] });
    expect(streams).toEqual(['the stream']);
  });

  it('is silent until there is a microphone, and goes on when it is exchanged', async () => {
    expect(FakePeer.last.sent).toBeNull();
    const [first, second] = [track(), track()];
    link.setTrack(first);
    await connect();
    expect(FakePeer.last.sent).toBe(first);
    link.setTrack(second);
    expect(FakePeer.last.sent).toBe(second);
    expect(FakePeer.made).toHaveLength(1);
  });
});

describe('a connection that breaks', () => {
  it('is offered anew when ICE fails, with the same microphone and fresh credentials', async () => {
    const microphone = track();
    link.setTrack(microphone);
    await connect();
    iceServers = [{ urls: ['turn:example.org'], username: 'later' }];
    FakePeer.last.becomes('failed');
    expect(states.at(-1)).toBe('lost');
    expect(FakePeer.made[0]?.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(600);
    expect(FakePeer.made).toHaveLength(2);
    expect(FakePeer.last.sent).toBe(microphone);
    expect(FakePeer.last.configuration.iceServers).toEqual(iceServers);
    await connect();
    expect(states.at(-1)).toBe('connected');
  });

  it('is given some seconds to come back by itself', async () => {
    await connect();
    FakePeer.last.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(4_000);
    FakePeer.last.becomes('connected');
    await vi.advanceTimersByTimeAsync(30_000);
    expect(FakePeer.made).toHaveLength(1);
    FakePeer.last.becomes('disconnected');
    await vi.advanceTimersByTimeAsync(6_000);
    expect(FakePeer.made).toHaveLength(2);
  });

  it('is given up when it takes too long to come about', async () => {
    await answer();
    FakePeer.last.becomes('connecting');
    await vi.advanceTimersByTimeAsync(15_600);
    expect(FakePeer.made).toHaveLength(2);
  });

  it('waits longer after each failure, and starts small again after a success', async () => {
    for (const within of [600, 1_100, 2_100]) {
      const before = FakePeer.made.length;
      signalling.last.fail(new Error('409'));
      await settle();
      expect(states.at(-1)).toBe('lost');
      await vi.advanceTimersByTimeAsync(within);
      expect(FakePeer.made).toHaveLength(before + 1);
    }
    await connect();
    FakePeer.last.becomes('failed');
    await vi.advanceTimersByTimeAsync(600);
    expect(FakePeer.made).toHaveLength(5);
  });

  it('is tried at once when the network is back', async () => {
    for (let n = 0; n < 5; n += 1) {
      signalling.last.fail(new Error('away'));
      await vi.advanceTimersByTimeAsync(10_000);
    }
    signalling.last.fail(new Error('away'));
    await settle();
    const before = FakePeer.made.length;
    network.dispatchEvent(new Event('online'));
    await settle();
    expect(FakePeer.made).toHaveLength(before + 1);
    await vi.advanceTimersByTimeAsync(14_000);
    expect(FakePeer.made).toHaveLength(before + 1);
  });
});

describe("the server's word", () => {
  it('makes a new offer when the server has lost the connection', async () => {
    await connect();
    link.heed('connecting');
    link.heed('connected');
    await vi.advanceTimersByTimeAsync(10_000);
    link.heed('lost');
    await vi.advanceTimersByTimeAsync(600);
    expect(FakePeer.made).toHaveLength(2);
  });

  it('is not believed right after an answer: it may be about the one before', async () => {
    link.heed('lost');
    await connect();
    await vi.advanceTimersByTimeAsync(2_000);
    link.heed('connected');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(FakePeer.made).toHaveLength(1);
  });

  it('is believed when it stays the same', async () => {
    link.heed('lost');
    await connect();
    await vi.advanceTimersByTimeAsync(3_600);
    expect(FakePeer.made).toHaveLength(2);
  });

  it('does not disturb an offer on its way', async () => {
    link.heed('lost');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(FakePeer.made).toHaveLength(1);
  });
});

it('a closed link leaves nothing behind: no peer, no request, no timer', async () => {
  const { signal } = signalling.last;
  link.close();
  expect(FakePeer.last.closed).toBe(true);
  expect(signal.aborted).toBe(true);
  await answer();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakePeer.made).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
  expect(states).toEqual(['connecting']);
});
