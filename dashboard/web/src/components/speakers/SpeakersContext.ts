import { createContext, use } from 'react';
import type { CallState } from '../../state/call';
import type { RoleChange } from '../../state/speakers';

/** Who speaks on the mixed tracks, and what a person can say of it. */
export interface SpeakerRoles {
  speakers: CallState['speakers'];
  setRole: (change: RoleChange) => void;
  /** The two on a track change places. */
  swap: (trackId: string) => void;
}

export const SpeakersContext = createContext<SpeakerRoles>({
  speakers: {},
  setRole: () => {},
  swap: () => {},
});

export const useSpeakers = () => use(SpeakersContext);
