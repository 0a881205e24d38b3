import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CaptureError, type CaptureProblem } from '../src/mic/microphone';
import type { CallAudio, Want } from '../src/phone/audio';
import type { Phone } from '../src/phone/phone';
import { Softphone } from '../src/phone/softphone';
import { asStream, FakeStorage, FakeStream, inCall, PHONE } from './fixtures/phone';
import { FakeSocket } from './fixtures/socket';

let session: FakeStorage;
let wants: (Want | null)[];
let mutes: boolean[];
let refusals: string[];
let told: string[];
let microphone: CaptureProblem | null;
let phone: Softphone;

const settle = () => vi.advanceTimersByTimeAsync(0);
const show = (state: Phone) => FakeSocket.last.say({ type: 'phone', phone: state });
const sent = () => FakeSocket.last.sent.map((data) => JSON.parse(data as string));
const done = async () => {
  FakeSocket.last.say({ type: 'done', id: sent().at(-1).id });
  await settle();
};
const refuse = async (detail: string) => {
  FakeSocket.last.say({ type: 'refused', id: sent().at(-1).id, detail });
  await settle();
};
const comeBack = async () => {
  FakeSocket.last.drop();
  await vi.advanceTimersByTimeAsync(600);
};

beforeEach(() => {
  vi.useFakeTimers();
  session = new FakeStorage();
  vi.stubGlobal('window', new EventTarget());
  vi.stubGlobal('navigator', { onLine: true });
  vi.stubGlobal('sessionStorage', session);
  vi.stubGlobal('localStorage', new FakeStorage());
  FakeSocket.opened = [];
  wants = [];
  mutes = [];
  refusals = [];
  told = [];
  microphone = null;
  phone = new Softphone({
    onRefused: (message) => refusals.push(message),
    onTold: (sentence) => told.push(sentence),
    onSessionEnded: () => {},
    openSocket: () => FakeSocket.open('/ws/phone'),
    openAudio: () =>
      ({
        follow: (want: Want | null) => wants.push(want),
        mute: (on: boolean) => mutes.push(on),
        touched: () => {},
        close: () => {},
        retryMicrophone: () => {},
      }) as unknown as CallAudio,
    openMicrophone: async () => {
      if (microphone) throw new CaptureError(microphone);
      return asStream(new FakeStream());
    },
  });
  phone.open();
});

afterEach(() => {
  phone.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('status', () => {
  it('online is asked for once the microphone works', async () => {
    show({ ...PHONE, status: 'offline' });
    const coming = phone.setStatus('online');
    await settle();
    expect(sent()).toEqual([{ do: 'status', status: 'online', id: '1' }]);
    expect([...phone.view().pending]).toEqual(['status']);
    await done();
    await coming;
    expect(phone.view().pending.size).toBe(0);
  });

  it('online is not asked for without a microphone, until it works', async () => {
    show({ ...PHONE, status: 'offline' });
    microphone = 'denied';
    await phone.setStatus('online');
    expect(sent()).toEqual([]);
    expect(phone.view().problem).toBe('denied');
    microphone = null;
    phone.retryMicrophone();
    await settle();
    expect(phone.view().problem).toBeNull();
    expect(sent()).toHaveLength(1);
  });

  it('break and offline need none', async () => {
    show(PHONE);
    microphone = 'denied';
    void phone.setStatus('break');
    await settle();
    expect(sent()).toMatchObject([{ do: 'status', status: 'break' }]);
  });
});

describe('the audio of a call', () => {
  it('is carried where the server says so', () => {
    show(inCall({ media: 'wanted' }));
    expect(wants.at(-1)).toEqual({ callId: 'call-1', media: 'wanted', speaks: true, muted: false });
    show(inCall({ media: 'connected', here: false }));
    expect(wants.at(-1)).toBeNull();
    show(PHONE);
    expect(wants.at(-1)).toBeNull();
  });

  it('goes on while the socket is away', async () => {
    show(inCall({ media: 'connected' }));
    const before = wants.length;
    await comeBack();
    expect(wants).toHaveLength(before);
    show(inCall({ media: 'lost' }));
    expect(wants.at(-1)).toMatchObject({ callId: 'call-1', media: 'lost' });
  });

  it('is asked for by the page that carried it, if nobody else does', async () => {
    show(inCall({ media: 'connected' }));
    await comeBack();
    show(inCall({ media: 'lost', here: false }));
    expect(sent()).toMatchObject([{ do: 'here', call_id: 'call-1' }]);
    await comeBack();
    show(inCall({ media: 'connected', here: false }));
    expect(sent()).toEqual([]);
    expect(session.kept.size).toBe(0);
  });

  it('is not taken from a page that was given it', () => {
    show(inCall({ media: 'connected' }));
    show(inCall({ media: 'lost', here: false }));
    expect(sent()).toEqual([]);
  });

  it('of a supervisor has no voice until they whisper or barge in', () => {
    show(inCall({ part: 'supervisor', mode: 'listen' }));
    expect(wants.at(-1)?.speaks).toBe(false);
    show(inCall({ part: 'supervisor', mode: 'whisper' }));
    expect(wants.at(-1)?.speaks).toBe(true);
    show(inCall({ part: 'supervisor', mode: 'barge' }));
    expect(wants.at(-1)?.speaks).toBe(true);
  });
});

describe('mute', () => {
  beforeEach(() => show(inCall()));

  it('takes effect at once, before the server knows', async () => {
    void phone.mute(true);
    expect(mutes).toEqual([true]);
    expect(phone.view().muted).toBe(true);
    show(inCall({ keyed: '1' }));
    expect(wants.at(-1)?.muted).toBe(true);
    await done();
    show(inCall({ muted: true }));
    show(inCall({ muted: false }));
    expect(phone.view().muted).toBe(false);
  });

  it('holds when the server refuses, or is away; it is told again when it is back', async () => {
    void phone.mute(true);
    await refuse('not now');
    expect(phone.view().muted).toBe(true);
    await comeBack();
    show(inCall());
    expect(wants.at(-1)?.muted).toBe(true);
    expect(sent()).toMatchObject([{ do: 'mute', on: true }]);
  });

  it('while the server is away is silent at once and told later', async () => {
    FakeSocket.last.drop();
    void phone.mute(true);
    expect(mutes).toEqual([true]);
    expect(refusals).toEqual([]);
    await vi.advanceTimersByTimeAsync(600);
    show(inCall());
    expect(sent()).toMatchObject([{ do: 'mute', on: true }]);
  });

  it('stays when unmuting is refused', async () => {
    show(inCall({ muted: true }));
    void phone.mute(false);
    expect(phone.view().muted).toBe(false);
    await refuse('not now');
    expect(phone.view().muted).toBe(true);
    expect(mutes).toEqual([false, true]);
    expect(refusals).toEqual(['not now']);
  });
});

describe('what the server says', () => {
  it('a refusal is told', async () => {
    show(inCall());
    const held = phone.do({ do: 'hold', call_id: 'call-1', on: true });
    await refuse('a transfer is under way');
    expect(await held).toBe(false);
    expect(refusals).toEqual(['a transfer is under way']);
  });

  it('a sentence of its own is told', () => {
    show(PHONE);
    FakeSocket.last.say({ type: 'refused', id: null, detail: 'You are on a break now.' });
    expect(told).toEqual(['You are on a break now.']);
  });
});

it('hanging up ends the call of an agent, and is leaving for a supervisor', () => {
  show(inCall());
  void phone.hangUp();
  show(inCall({ part: 'supervisor', mode: 'listen' }));
  void phone.hangUp();
  expect(sent()).toMatchObject([{ do: 'hang_up' }, { do: 'leave' }]);
});
