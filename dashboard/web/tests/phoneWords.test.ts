import { describe, expect, it } from 'vitest';
import { announce } from '../src/phone/announce';
import { type Counted, gradeOf, readStats } from '../src/phone/network';
import { mayHangUp } from '../src/phone/phone';
import { digitOf, isTyping, SHORTCUTS, shortcutOf } from '../src/phone/shortcuts';
import { NO_PHONE, type PhoneView } from '../src/phone/softphone';
import { inCall, OFFER, PHONE } from './fixtures/phone';

const view = (phone: PhoneView['phone'], change: Partial<PhoneView> = {}): PhoneView => ({
  ...NO_PHONE,
  connection: 'live',
  phone,
  ...change,
});
const said = (before: PhoneView, after: PhoneView) => announce(before, after)?.words ?? null;

describe('what is read out', () => {
  it('interrupts for a call that rings, once', () => {
    const ringing = view({ ...PHONE, offer: OFFER });
    expect(announce(view(PHONE), ringing)).toEqual({
      words: 'Incoming call: +493012345678, Sales.',
      urgent: true,
    });
    expect(announce(ringing, ringing)).toBeNull();
  });

  it.each([
    [{ kind: 'transfer', by: 'Bo' } as const, 'Incoming call: +493012345678, transferred by Bo.'],
    [{ kind: 'consult', by: 'Bo' } as const, 'Incoming call: Bo asks about +493012345678.'],
    [{ from_number: null } as const, 'Incoming call: Number withheld, Sales.'],
  ])('says who it is about: %o', (change, words) => {
    expect(said(view(PHONE), view({ ...PHONE, offer: { ...OFFER, ...change } }))).toBe(words);
  });

  it('tells how a call goes', () => {
    const call = view(inCall());
    expect(said(view({ ...PHONE, offer: OFFER }), call)).toBe('In a call with +493012345678.');
    expect(said(call, view(inCall({ held: true })))).toBe('The caller is on hold.');
    expect(said(call, view(inCall({ caller: 'reconnecting' })))).toBe('The caller is reconnecting.');
    expect(said(call, view(inCall({ keyed: '12#' })))).toBe('The caller keyed 1 2 #.');
    expect(said(call, view(inCall(), { muted: true }))).toBe('Muted.');
    expect(said(call, view(PHONE))).toBe('Your call is over.');
    expect(said(view({ ...PHONE, offer: OFFER }), view(PHONE))).toBe('The call no longer rings here.');
  });

  it('tells how a transfer goes', () => {
    const to = { user_id: 'user-2', name: 'Bo' };
    const ringing = view(inCall({ transfer: { to, state: 'ringing' } }));
    const talking = view(inCall({ transfer: { to, state: 'talking' } }));
    expect(said(view(inCall()), ringing)).toBe('Ringing Bo.');
    expect(said(ringing, talking)).toBe('Bo is on the line. The caller waits.');
    expect(said(talking, view(inCall()))).toBe('You are with the caller again.');
  });

  it('tells supervisors who hears them', () => {
    const listening = view(inCall({ part: 'supervisor', mode: 'listen' }));
    expect(said(view(PHONE), listening)).toBe('You are listening. Nobody hears you.');
    expect(said(listening, view(inCall({ part: 'supervisor', mode: 'whisper' })))).toBe(
      'You are whispering. Only the agent hears you.',
    );
    expect(said(listening, view(inCall()))).toBe('You have taken over the call.');
  });

  it('says nothing of figures', () => {
    const network = { loss_pct: 1, jitter_ms: 2, rtt_ms: 3 };
    expect(said(view(inCall()), view(inCall({ network })))).toBeNull();
  });
});

describe('who may hang up', () => {
  const to = { user_id: 'user-2', name: 'Bo' };
  const transfer = { to, state: 'talking' } as const;

  it('is everybody, but not who transfers', () => {
    expect(mayHangUp(PHONE)).toBe(false);
    expect(mayHangUp(inCall())).toBe(true);
    expect(mayHangUp(inCall({ transfer }))).toBe(false);
    expect(mayHangUp(inCall({ transfer, part: 'supervisor' }))).toBe(true);
    expect(mayHangUp({ ...inCall({ transfer }), user_id: 'user-2' })).toBe(true);
  });
});

describe('shortcuts', () => {
  const pressed = (key: string, change = {}) => ({
    key,
    shiftKey: false,
    ctrlKey: false,
    altKey: false,
    metaKey: false,
    repeat: false,
    isComposing: false,
    defaultPrevented: false,
    ...change,
  });

  it('are the keys that the help names', () => {
    for (const [name, { keys }] of Object.entries(SHORTCUTS)) {
      const shiftKey = keys.length > 1;
      const key = keys[keys.length - 1] as string;
      expect(shortcutOf(pressed(shiftKey ? key : key.toLowerCase(), { shiftKey }))).toBe(name);
    }
  });

  it('leave alone what belongs to the browser, to a held key and to another listener', () => {
    for (const change of ['ctrlKey', 'altKey', 'metaKey', 'repeat', 'isComposing', 'defaultPrevented']) {
      expect(shortcutOf(pressed('m', { [change]: true }))).toBeNull();
    }
    expect(shortcutOf(pressed('e'))).toBeNull();
    expect(shortcutOf(pressed('M', { shiftKey: true }))).toBeNull();
  });

  it('rest where somebody types or chooses', () => {
    const element = (tagName: string, type = '', typed = false) =>
      ({ tagName, type, closest: () => (typed ? {} : null) }) as unknown as Element;
    expect(isTyping(element('INPUT', 'text'))).toBe(true);
    expect(isTyping(element('INPUT', 'search'))).toBe(true);
    expect(isTyping(element('INPUT', 'radio'))).toBe(false);
    expect(isTyping(element('TEXTAREA', '', true))).toBe(true);
    expect(isTyping(element('BUTTON'))).toBe(false);
    expect(isTyping(null)).toBe(false);
  });

  it('digits are keyed with and without Shift, for * and # need it', () => {
    expect(digitOf(pressed('5'))).toBe('5');
    expect(digitOf(pressed('#', { shiftKey: true }))).toBe('#');
    expect(digitOf(pressed('a'))).toBeNull();
    expect(digitOf(pressed('5', { ctrlKey: true }))).toBeNull();
  });
});

describe('the line', () => {
  const report = (received: number, lost: number, jitter = 0.01) =>
    new Map<string, unknown>([
      ['in', { type: 'inbound-rtp', packetsReceived: received, packetsLost: lost, jitter }],
      ['pair', { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.02 }],
      ['other', { type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 }],
    ]) as unknown as RTCStatsReport;
  const loss = (before: Counted | null, received: number, lost: number) =>
    readStats(report(received, lost), before)?.figures.loss_pct;

  it('is measured since the last look', () => {
    expect(readStats(report(90, 10), null)).toEqual({
      counted: { received: 90, lost: 10 },
      figures: { loss_pct: 10, jitter_ms: 10, rtt_ms: 20 },
    });
    expect(loss({ received: 90, lost: 10 }, 190, 10)).toBe(0);
    expect(loss({ received: 90, lost: 10 }, 165, 35)).toBe(25);
  });

  it('starts anew with a new connection; late packets are not negative loss', () => {
    expect(loss({ received: 1000, lost: 0 }, 50, 50)).toBe(50);
    expect(loss({ received: 90, lost: 10 }, 110, 8)).toBe(0);
    expect(readStats(new Map() as unknown as RTCStatsReport, null)).toBeNull();
  });

  it('is as good as its worse way', () => {
    const good = { loss_pct: 0, jitter_ms: 5, rtt_ms: 20 };
    expect(gradeOf([good, null])).toBe('good');
    expect(gradeOf([good, { ...good, loss_pct: 3 }])).toBe('fair');
    expect(gradeOf([{ ...good, rtt_ms: 700 }, good])).toBe('poor');
    expect(gradeOf([{ ...good, rtt_ms: null }])).toBe('good');
    expect(gradeOf([null, null])).toBeNull();
  });
});
