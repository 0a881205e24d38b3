import { notifications } from '@mantine/notifications';
import { useMutation } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { api, ProblemError } from '../../api/client';
import type { CallState } from '../../state/call';
import { putRole, type RoleChange, sidesOf } from '../../state/speakers';
import type { SpeakerRoles } from './SpeakersContext';

type Changes = readonly RoleChange[];
const NOBODY: CallState['speakers'] = {};

/** Shows who somebody says the speakers are at once, and takes it back when the server does not. */
export function useSpeakerRoles(
  callId: string,
  state: CallState | null,
  onChanged: (change: RoleChange) => void,
): { shown: CallState | null; roles: SpeakerRoles } {
  const [pending, setPending] = useState<readonly Changes[]>([]);
  const { mutate } = useMutation({
    mutationFn: async (changes: Changes) => {
      for (const change of changes) await api.setSpeakerRole(callId, change);
    },
    // One after the other, as they were asked for.
    scope: { id: `speakers ${callId}` },
    onMutate: (changes) => setPending((before) => [...before, changes]),
    onSuccess: (_data, changes) => changes.forEach(onChanged),
    onError: (error) =>
      notifications.show({
        color: 'red',
        title: 'The speaker was not changed',
        message:
          error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
      }),
    onSettled: (_data, _error, changes) => setPending((before) => before.filter((one) => one !== changes)),
  });
  const shown = useMemo(() => state && pending.flat().reduce(putRole, state), [state, pending]);
  const speakers = shown?.speakers ?? NOBODY;
  const roles = useMemo(
    () => ({
      speakers,
      setRole: (change: RoleChange) => mutate([change]),
      swap: (trackId: string) => {
        const sides = sidesOf(speakers[trackId] ?? []);
        if (!sides) return;
        const [one, other] = sides;
        mutate([
          { trackId, speaker: one.speaker, role: other.role },
          { trackId, speaker: other.speaker, role: one.role },
        ]);
      },
    }),
    [speakers, mutate],
  );
  return { shown, roles };
}
