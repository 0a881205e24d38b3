import { useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useReducer } from 'react';
import { api, ProblemError } from '../api/client';
import type { Insight, LiveEvent, Snapshot } from '../api/types';
import { applyAll, type CallState, fromSnapshot, putInsight } from './call';
import { againUnless } from './retry';
import { putRole, type RoleChange } from './speakers';
import { useFeed } from './useFeed';

type Change =
  | { type: 'snapshot'; snapshot: Snapshot }
  | { type: 'events'; events: LiveEvent[] }
  | { type: 'insight'; insight: Insight }
  | { type: 'role'; role: RoleChange };

function reduce(state: CallState | null, change: Change): CallState | null {
  if (change.type === 'snapshot') return fromSnapshot(change.snapshot);
  if (!state) return state;
  switch (change.type) {
    case 'events':
      return applyAll(state, change.events);
    case 'insight':
      return putInsight(state, change.insight);
    case 'role':
      return putRole(state, change.role);
  }
}

const MISSING_TRIES = 2;

/** A call's snapshot, kept current by its feed. */
export function useCall(callId: string, onAlert: (data: Record<string, unknown>) => void) {
  const query = useQuery({
    queryKey: ['call', callId],
    queryFn: ({ signal }) => api.snapshot(callId, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    // A call that began this moment may not be stored yet.
    retry: (failures, error) =>
      failures < MISSING_TRIES && (!(error instanceof ProblemError) || error.status === 404),
    retryDelay: 700,
    refetchInterval: againUnless(401, 403, 404),
  });
  const { data: snapshot, dataUpdatedAt: version, refetch } = query;
  const [state, change] = useReducer(reduce, null);

  useEffect(() => {
    if (snapshot) change({ type: 'snapshot', snapshot });
  }, [snapshot]);

  const status = useFeed({
    call: callId,
    cursor: snapshot?.cursor,
    version,
    onEvents: (events) => {
      change({ type: 'events', events });
      for (const event of events) if (event.type === 'alert') onAlert(event.data);
    },
    onResync: () => void refetch(),
  });

  const putBack = useCallback((insight: Insight) => change({ type: 'insight', insight }), []);
  const roleChanged = useCallback((role: RoleChange) => change({ type: 'role', role }), []);
  return { state, error: query.error, retry: refetch, status, putInsight: putBack, putRole: roleChanged };
}
