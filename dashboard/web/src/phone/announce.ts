/** What changed on the phone, in words for those who hear the page instead of seeing it. */

import { callerName, type Offer, type PhoneCall, type SuperviseMode } from './phone';
import type { PhoneView } from './softphone';

export interface Announcement {
  words: string;
  /** Whether it may interrupt. */
  urgent: boolean;
}

const STATUS_WORDS = {
  online: 'You are online. Calls can ring here.',
  break: 'You are on a break.',
  offline: 'You are offline.',
} as const;

const MODE_WORDS: Record<SuperviseMode, string> = {
  listen: 'You are listening. Nobody hears you.',
  whisper: 'You are whispering. Only the agent hears you.',
  barge: 'You have joined the call. Everybody hears you.',
};

/** Null: nothing that is worth being said. */
export function announce(before: PhoneView, after: PhoneView): Announcement | null {
  if (!before.phone || !after.phone) return null;
  const said: string[] = [];
  const ringing = after.phone.offer;
  if (ringing && ringing.call_id !== before.phone.offer?.call_id) {
    return { words: `Incoming call: ${offerWords(ringing)}.`, urgent: true };
  }
  if (before.phone.offer && !ringing && !after.phone.call) said.push('The call no longer rings here.');
  said.push(...callChanges(before, after));
  if (before.phone.status !== after.phone.status) said.push(STATUS_WORDS[after.phone.status]);
  if (before.connection === 'live' && after.connection !== 'live')
    said.push('The connection to the server was lost.');
  if (before.connection !== 'live' && after.connection === 'live')
    said.push('Connected to the server again.');
  return said.length > 0 ? { words: said.join(' '), urgent: false } : null;
}

function offerWords({ kind, by, queue, ...numbers }: Offer): string {
  const caller = callerName(numbers);
  if (kind === 'transfer') return `${caller}, transferred by ${by ?? 'a colleague'}`;
  if (kind === 'consult') return `${by ?? 'A colleague'} asks about ${caller}`;
  return queue ? `${caller}, ${queue}` : caller;
}

function callChanges(before: PhoneView, after: PhoneView): string[] {
  const [was, is] = [before.phone?.call ?? null, after.phone?.call ?? null];
  if (!is) {
    if (!was) return [];
    const left = was.part === 'supervisor' || was.transfer !== null || before.pending.has('transfer');
    return [left ? 'You have left the call.' : 'Your call is over.'];
  }
  if (was?.call_id !== is.call_id) {
    return is.part === 'agent' ? [`In a call with ${callerName(is)}.`] : [MODE_WORDS[is.mode ?? 'listen']];
  }
  const said = [...betweenParties(was, is)];
  if (before.muted !== after.muted) said.push(after.muted ? 'Muted.' : 'No longer muted.');
  if (before.audio.link !== after.audio.link && after.audio.link === 'lost')
    said.push('The sound is being connected again.');
  if (before.audio.link === 'lost' && after.audio.link === 'connected') said.push('The sound is back.');
  return said;
}

function* betweenParties(was: PhoneCall, is: PhoneCall): Generator<string> {
  if (was.part !== is.part && is.part === 'agent') yield 'You have taken over the call.';
  if (is.part === 'supervisor' && is.mode && was.mode !== is.mode) yield MODE_WORDS[is.mode];
  if (was.held !== is.held) yield is.held ? 'The caller is on hold.' : 'The caller is off hold.';
  if (was.caller !== is.caller) {
    if (is.caller === 'reconnecting') yield 'The caller is reconnecting.';
    if (is.caller === 'connected') yield 'The caller is back.';
    if (is.caller === 'gone') yield 'The caller is gone.';
  }
  if (was.recording !== is.recording) {
    if (is.recording === 'paused') yield 'The recording is paused.';
    if (is.recording === 'on') yield 'The call is being recorded.';
  }
  if (is.transfer && was.transfer?.state !== is.transfer.state) {
    const { to, state } = is.transfer;
    yield state === 'ringing' ? `Ringing ${to.name}.` : `${to.name} is on the line. The caller waits.`;
  }
  if (was.transfer && !is.transfer) yield 'You are with the caller again.';
  if (is.keyed !== was.keyed && is.keyed !== '') yield `The caller keyed ${[...is.keyed].join(' ')}.`;
}
