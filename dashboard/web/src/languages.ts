/** The languages of calls, and what to call them. */

import type { System } from './api/types';
import type { CallState } from './state/call';

/** The pages' own language: what an installation is taken to speak that has not settled on one. */
export const OWN = 'en';

const NAMES = new Intl.DisplayNames([OWN], { type: 'language' });

/** `es` -> `Spanish`; a code that nobody knows stays as it is. */
export function languageName(code: string): string {
  try {
    return NAMES.of(code) ?? code;
  } catch {
    return code;
  }
}

/** The language of a code without its region; empty when it tells of none. */
export function tongueOf(code: string | null | undefined): string {
  const [tongue = ''] = (code ?? '').toLowerCase().split(/[-_]/);
  return ['auto', 'und', 'mul', 'zxx'].includes(tongue) ? '' : tongue;
}

/** What is usually spoken here: what the recognisers are set to. */
export function usualLanguage(system: System | undefined): string {
  return tongueOf(system?.language) || OWN;
}

/** What is spoken in a call, in the order in which it was first heard. */
export function languagesOf({ tracks, segments }: Pick<CallState, 'tracks' | 'segments'>): string[] {
  const heard = segments.flatMap(({ language, is_final }) => (is_final ? tongueOf(language) : []));
  const found = Object.values(tracks).map(({ language }) => tongueOf(language));
  return [...new Set([...heard, ...found])].filter(Boolean);
}
