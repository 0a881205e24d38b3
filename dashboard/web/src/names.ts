import type { CallFacts, Leg, Role, Track } from './api/types';
import { doorMark, ROLE_MARKS } from './components/marks';
import { isWithheld, WITHHELD } from './numbers';

/** What to call a call: its title, else who calls, else the door it came in by. */
export function callName(call: CallFacts): string {
  return call.title ?? numberOf(call) ?? `${doorMark(call.door).word} call`;
}

/** `+4930… → +4989…`, as far as it is known and not the name already. */
export function callNumbers(call: CallFacts): string {
  if (call.title === null && call.to_number === null) return '';
  return [call.title === null ? null : numberOf(call), call.to_number].filter(Boolean).join(' → ');
}

const numberOf = ({ from_number }: CallFacts) =>
  from_number !== null && isWithheld(from_number) ? WITHHELD : from_number;

/** Who is in a call by name: nobody whom `callName` or `callNumbers` has named already. */
export function partyNames(call: CallFacts, legs: Readonly<Record<string, Leg>>): string[] {
  const told = new Set([callName(call), call.from_number, call.to_number]);
  // Supervisors are not named: who only listens is not to be seen.
  const named = Object.values(legs).flatMap(({ role, name }) => (role === 'supervisor' ? [] : (name ?? [])));
  return [...new Set(named)].filter((name) => !told.has(name));
}

/** What to call the party on a track: its name, else its role; the speaker's number where the role is unknown. */
export function partyName(role: Role, speaker: string, leg: Leg | undefined): string {
  if (leg?.name) return leg.name;
  return voiceName({ role, speaker });
}

/** What to call one of several on a track: its role, else its number. */
export function voiceName({ role, speaker }: { role: Role; speaker: string }): string {
  return role === 'unknown' ? speakerName(speaker) : ROLE_MARKS[role].word;
}

/** `SPEAKER_00` -> `Speaker 1`. */
export function speakerName(speaker: string): string {
  const number = Number(/\d+$/.exec(speaker)?.[0]);
  return Number.isNaN(number) ? ROLE_MARKS.unknown.word : `Speaker ${number + 1}`;
}

export function trackName(track: Track | undefined, legs: Readonly<Record<string, Leg>>): string {
  return track ? partyName(track.role, track.speaker, legs[track.leg_id]) : 'Unknown track';
}
