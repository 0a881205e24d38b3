import { createContext, useContext, useMemo, useSyncExternalStore } from 'react';
import type { Recording } from '../../api/types';
import { Playback } from './playback';

/** Null where there is nothing to play. */
export const PlaybackContext = createContext<Playback | null>(null);

export const usePlaybackOfPage = () => useContext(PlaybackContext);

/** A saved recording's playback; another one for another recording. */
export function usePlayback(recording: Recording | null | undefined): Playback | null {
  const id = recording?.state === 'saved' ? recording.recording_id : null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a recording that is saved anew is played anew
  return useMemo(() => (id === null ? null : new Playback()), [id, recording?.duration_ms]);
}

const deaf = () => () => {};

/** What `select` makes of the moment that is being played; renders only when that changes. */
export function useMoment<T extends string | number | boolean | null>(
  playback: Playback | null,
  select: (playback: Playback) => T,
): T | null {
  return useSyncExternalStore(playback?.subscribe ?? deaf, () => (playback ? select(playback) : null));
}
