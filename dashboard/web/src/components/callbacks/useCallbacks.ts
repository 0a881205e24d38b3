import { notifications } from '@mantine/notifications';
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import { api, ProblemError } from '../../api/client';
import type { CallbackStatus } from '../../api/types';

const ASKED_EACH_MS = 15_000;

/** The call-backs of one status, the newest first, asked for again now and then: no event tells of them. */
export function useCallbacks(status: CallbackStatus) {
  const queryClient = useQueryClient();
  const query = useInfiniteQuery({
    queryKey: ['callbacks', status],
    queryFn: ({ pageParam, signal }) =>
      api.callbacks({ status, ...(pageParam && { after: pageParam }) }, signal),
    initialPageParam: '',
    getNextPageParam: (page) => page.next,
    refetchInterval: ASKED_EACH_MS,
  });
  const mutation = useMutation({
    mutationFn: ({ id, to }: { id: string; to: CallbackStatus }) => api.setCallbackStatus(id, to),
    onError: (error) =>
      notifications.show({
        color: 'red',
        title: 'It was not changed',
        message:
          error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
      }),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ['callbacks'] }),
  });
  // What was just moved is gone from this list before the server has listed it anew.
  const moved = mutation.isPending || mutation.isSuccess ? mutation.variables : undefined;
  const listed = query.data?.pages.flatMap((page) => page.items) ?? [];
  return {
    callbacks: listed.filter(({ id }) => id !== moved?.id || moved.to === status),
    pending: query.isPending,
    error: query.error,
    hasMore: query.hasNextPage,
    loadingMore: query.isFetchingNextPage,
    loadMore: () => void query.fetchNextPage(),
    retry: () => void query.refetch(),
    change: (id: string, to: CallbackStatus) => mutation.mutate({ id, to }),
  };
}
