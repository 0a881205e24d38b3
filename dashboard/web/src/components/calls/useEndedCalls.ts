import { useInfiniteQuery } from '@tanstack/react-query';
import { api } from '../../api/client';
import type { CallSummary } from '../../api/types';
import { type BoardState, liveMatches } from '../../state/board';
import { againUnless } from '../../state/retry';

const PAGE_SIZE = 25;

export interface EndedCallsList {
  calls: CallSummary[];
  pending: boolean;
  error: Error | null;
  hasMore: boolean;
  loadingMore: boolean;
  loadMore: () => void;
  retry: () => void;
}

/** Ended calls as the server lists them, after those that ended while we looked. */
export function useEndedCalls(q: string, board: BoardState): EndedCallsList {
  const query = useInfiniteQuery({
    queryKey: ['calls', 'ended', q],
    queryFn: ({ pageParam, signal }) =>
      api.listCalls({ status: 'ended', q, limit: PAGE_SIZE, ...(pageParam && { after: pageParam }) }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.next,
    placeholderData: (before) => before,
    refetchInterval: againUnless(401, 403),
  });
  const listed = query.data?.pages.flatMap((page) => page.items) ?? [];
  const known = new Set(listed.map((call) => call.id));
  const fresh = Object.values(board.calls).filter(
    (call) => call.status === 'ended' && !known.has(call.id) && liveMatches(call, q),
  );
  return {
    calls: [...fresh.sort((a, b) => b.started_at.localeCompare(a.started_at)), ...listed],
    pending: query.isPending,
    error: query.error,
    hasMore: query.hasNextPage,
    loadingMore: query.isFetchingNextPage,
    loadMore: () => void query.fetchNextPage(),
    retry: () => void query.refetch(),
  };
}
