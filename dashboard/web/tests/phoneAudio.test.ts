import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CaptureError, type CaptureProblem } from '../src/mic/microphone';
import { type AudioView, CallAudio, SILENT, type Want } from '../src/phone/audio';
import type { Media } from '../src/phone/phone';
import type { LinkOptions } from '../src/phone/rtc';
import { asStream, FakeStorage, FakeStream } from './fixtures/phone';

class FakeLink {
  static made: FakeLink[] = [];
  readonly options: LinkOptions;
  readonly callId: string;
  readonly heeded: Media[] = [];
  track: unknown = null;
  closed = false;

  constructor(options: LinkOptions) {
    this.options = options;
    this.callId = options.callId;
    FakeLink.made.push(this);
  }
  open(): void {}
  close(): void {
    this.closed = true;
  }
  setTrack(track: unknown): void {
    this.track = track;
  }
  heed(media: Media): void {
    this.heeded.push(media);
  }
  async stats(): Promise<null> {
    return null;
  }
  static get last(): FakeLink {
    const link = FakeLink.made.at(-1);
    if (!link) throw new Error('no link was made');
    return link;
  }
}

const WANT: Want = { callId: 'call-1', media: 'wanted', speaks: true, muted: false };

let view: AudioView;
let problems: CaptureProblem[];
let microphones: FakeStream[];
let asked: (string | null)[];
let refusal: CaptureProblem | null;
let storage: FakeStorage;
let audio: CallAudio;

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  storage = new FakeStorage();
  vi.stubGlobal('localStorage', storage);
  FakeLink.made = [];
  view = SILENT;
  problems = [];
  microphones = [];
  asked = [];
  refusal = null;
  audio = new CallAudio({
    iceServers: () => [],
    onView: (told) => {
      view = told;
    },
    onProblem: (problem) => problems.push(problem),
    openLink: (options) => new FakeLink(options),
    openMicrophone: async (deviceId) => {
      asked.push(deviceId);
      if (refusal) throw new CaptureError(refusal);
      const stream = new FakeStream();
      microphones.push(stream);
      return asStream(stream);
    },
  });
});

afterEach(() => {
  audio.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('a call', () => {
  it('gets a link and the microphone', async () => {
    audio.follow(WANT);
    await settle();
    expect(view).toMatchObject({ link: 'connecting', voice: 'on' });
    expect(FakeLink.last.track).toBe(microphones[0]?.track);
    FakeLink.last.options.onState('connected');
    expect(view.link).toBe('connected');
  });

  it('keeps them while the server tells of it again and again', async () => {
    for (const media of ['wanted', 'connecting', 'connected'] as const) audio.follow({ ...WANT, media });
    await settle();
    audio.follow({ ...WANT, media: 'connected' });
    await settle();
    expect(FakeLink.made).toHaveLength(1);
    expect(microphones).toHaveLength(1);
    expect(FakeLink.last.heeded).toEqual(['connecting', 'connected', 'connected']);
  });

  it('gives them back at its end', async () => {
    audio.follow(WANT);
    await settle();
    audio.follow(null);
    expect(FakeLink.last.closed).toBe(true);
    expect(microphones[0]?.track.stopped).toBe(true);
    expect(view).toEqual(SILENT);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('takes the place of another', async () => {
    audio.follow(WANT);
    await settle();
    audio.follow({ ...WANT, callId: 'call-2' });
    await settle();
    expect(FakeLink.made.map(({ callId, closed }) => [callId, closed])).toEqual([
      ['call-1', true],
      ['call-2', false],
    ]);
    expect(microphones.map(({ track }) => track.stopped)).toEqual([true, false]);
  });
});

describe('the microphone', () => {
  it('stays closed for those who only listen, and opens when they speak', async () => {
    audio.follow({ ...WANT, speaks: false });
    await settle();
    expect(asked).toEqual([]);
    audio.follow(WANT);
    await settle();
    expect(FakeLink.last.track).toBe(microphones[0]?.track);
    audio.follow({ ...WANT, speaks: false });
    expect(microphones[0]?.track.stopped).toBe(true);
    expect(FakeLink.last.track).toBeNull();
    expect(FakeLink.made).toHaveLength(1);
  });

  it('is muted at its source, also when it opens later', async () => {
    audio.follow({ ...WANT, muted: true });
    await settle();
    expect(microphones[0]?.track.enabled).toBe(false);
    audio.mute(false);
    expect(microphones[0]?.track.enabled).toBe(true);
    audio.mute(true);
    audio.choose('microphone', 'headset');
    await settle();
    expect(microphones[1]?.track.enabled).toBe(false);
  });

  it('is exchanged without a break, and the choice is kept', async () => {
    audio.follow(WANT);
    await settle();
    audio.choose('microphone', 'headset');
    expect(microphones[0]?.track.stopped).toBe(false);
    await settle();
    expect(asked).toEqual([null, 'headset']);
    expect(microphones[0]?.track.stopped).toBe(true);
    expect(FakeLink.last.track).toBe(microphones[1]?.track);
    audio.follow(null);
    audio.follow({ ...WANT, callId: 'call-2' });
    await settle();
    expect(asked.at(-1)).toBe('headset');
  });

  it("when pulled out gives way to the system's", async () => {
    storage.setItem('hearline-phone-microphone', 'headset');
    audio.follow(WANT);
    await settle();
    microphones[0]?.track.dispatchEvent(new Event('ended'));
    await settle();
    expect(asked).toEqual(['headset', null]);
    expect(FakeLink.last.track).toBe(microphones[1]?.track);
    expect(problems).toEqual([]);
  });

  it('that cannot be had is told of once, does not hold up the call, and can be tried again', async () => {
    refusal = 'denied';
    audio.follow(WANT);
    await settle();
    audio.follow({ ...WANT, media: 'connected' });
    await settle();
    expect(problems).toEqual(['denied']);
    expect(view.voice).toBe('failed');
    expect(FakeLink.last.closed).toBe(false);
    refusal = null;
    audio.retryMicrophone();
    await settle();
    expect(view.voice).toBe('on');
    expect(FakeLink.last.track).toBe(microphones[0]?.track);
  });

  it('that opens after the call has ended is closed at once', async () => {
    audio.follow(WANT);
    audio.follow(null);
    await settle();
    expect(microphones[0]?.track.stopped).toBe(true);
    expect(view).toEqual(SILENT);
  });
});
