import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useReducer } from 'react';
import { api } from '../api/client';
import type { CallPage, LiveEvent } from '../api/types';
import { applyAllToBoard, type BoardState, boardFromPage, EMPTY_BOARD } from './board';
import { againUnless } from './retry';
import { useFeed } from './useFeed';

type Change = { type: 'page'; page: CallPage } | { type: 'events'; events: LiveEvent[] };

function reduce(state: BoardState, change: Change): BoardState {
  return change.type === 'page' ? boardFromPage(change.page) : applyAllToBoard(state, change.events);
}

/** The live calls, kept current by the feed of all calls. */
export function useBoard() {
  const queryClient = useQueryClient();
  const query = useQuery({
    queryKey: ['calls', 'live'],
    queryFn: ({ signal }) => api.listLiveCalls(signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchInterval: againUnless(401, 403),
  });
  const { data: page, dataUpdatedAt: version, refetch } = query;
  const [board, change] = useReducer(reduce, EMPTY_BOARD);

  useEffect(() => {
    if (page) change({ type: 'page', page });
  }, [page]);

  const status = useFeed({
    call: '*',
    cursor: page?.cursor,
    version,
    onEvents: (events) => {
      change({ type: 'events', events });
      if (events.some((event) => event.type === 'call.settled')) {
        void queryClient.invalidateQueries({ queryKey: ['calls', 'ended'] });
      }
    },
    onResync: () => void refetch(),
  });

  return { board, pending: page === undefined, error: query.error, retry: refetch, status };
}
