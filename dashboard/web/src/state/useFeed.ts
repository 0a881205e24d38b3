import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useEffectEvent, useState } from 'react';
import type { LiveEvent } from '../api/types';
import { EventFeed, INITIAL_STATUS } from './feed';

export interface FeedSource {
  call: string;
  /** Where to go on from; undefined until the snapshot is there. */
  cursor: string | undefined;
  /** Grows with each new snapshot, so that the feed starts again from it. */
  version: number;
  onEvents: (events: LiveEvent[]) => void;
  onResync: () => void;
}

/** Keeps a live feed open while the component is there, and tells how it fares. */
export function useFeed({ call, cursor, version, onEvents, onResync }: FeedSource) {
  const queryClient = useQueryClient();
  const [status, setStatus] = useState(INITIAL_STATUS);
  const deliver = useEffectEvent(onEvents);
  const resync = useEffectEvent(onResync);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new version means a new cursor to start from
  useEffect(() => {
    if (cursor === undefined) return;
    const feed = new EventFeed({
      call,
      after: cursor,
      onEvents: (events) => deliver(events),
      onStatus: setStatus,
      onResync: () => resync(),
      onRefused: () => void queryClient.invalidateQueries({ queryKey: ['me'] }),
    });
    feed.open();
    return () => feed.close();
  }, [call, cursor, version, queryClient]);

  return status;
}
