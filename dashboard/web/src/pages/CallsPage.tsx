import { Button, SegmentedControl, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconFileUpload, IconSearch } from '@tabler/icons-react';
import { useEffect, useEffectEvent, useState } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Me } from '../api/types';
import { ConnectionState } from '../components/ConnectionState';
import { EndedCalls } from '../components/calls/EndedCalls';
import { Figures } from '../components/calls/Figures';
import { ImportingCalls, LiveCalls } from '../components/calls/LiveCalls';
import { useEndedCalls } from '../components/calls/useEndedCalls';
import { FeedBanners } from '../components/FeedBanners';
import { Problem } from '../components/Problem';
import { liveMatches } from '../state/board';
import { isImported } from '../state/call';
import { useBoard } from '../state/useBoard';
import classes from './CallsPage.module.css';

const FILTERS = [
  { value: 'all', label: 'All' },
  { value: 'live', label: 'Live' },
  { value: 'ended', label: 'Ended' },
];

export function CallsPage({ me }: { me: Me }) {
  const [search, setSearch] = useSearchParams();
  const [filter, setFilter] = useState(search.get('status') ?? 'all');
  const [typed, setTyped] = useState(search.get('q') ?? '');
  const [q] = useDebouncedValue(typed.trim(), 250);

  const { board, pending, error, retry, status } = useBoard();
  const recent = useEndedCalls('', board);
  const ended = useEndedCalls(q, board);
  const open = Object.values(board.calls).filter((call) => call.status === 'live');
  const live = open.filter((call) => !isImported(call));
  const importing = open.filter((call) => isImported(call) && liveMatches(call, q));
  const found = live.filter((call) => liveMatches(call, q));
  const showsLive = filter === 'live' || (filter === 'all' && (q === '' || found.length > 0));

  useEffect(() => {
    document.title = live.length > 0 ? `(${live.length}) Calls · Hearline` : 'Calls · Hearline';
  }, [live.length]);

  // The address keeps the search, so that going back to this page finds it again.
  const remember = useEffectEvent((status: string, words: string) => {
    const kept = { ...(status !== 'all' && { status }), ...(words !== '' && { q: words }) };
    if (new URLSearchParams(kept).toString() !== search.toString()) setSearch(kept, { replace: true });
  });
  useEffect(() => remember(filter, q), [filter, q]);

  if (error && pending)
    return <Problem title="The calls could not be loaded" error={error} onRetry={retry} />;
  return (
    <div className={classes.root}>
      <div className={classes.head}>
        <h1 className={classes.title}>Calls</h1>
        <div className={classes.acts}>
          <ConnectionState connection={status.connection} />
          {me.role !== 'agent' && (
            <Button
              component={Link}
              href="/import"
              variant="default"
              size="sm"
              leftSection={<IconFileUpload size={16} stroke={1.8} />}
              data-testid="import-link"
            >
              Import
              <span className={classes.long}>&nbsp;recordings</span>
            </Button>
          )}
        </div>
      </div>
      <FeedBanners status={status} />
      <Figures live={live} ended={recent.calls} pending={pending} />
      <div className={classes.tools}>
        <TextInput
          className={classes.search}
          type="search"
          placeholder="Search numbers, names, words"
          aria-label="Search calls"
          leftSection={<IconSearch size={16} stroke={1.7} />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <SegmentedControl data={FILTERS} value={filter} onChange={setFilter} aria-label="Which calls" />
      </div>
      {showsLive && <LiveCalls calls={found} searching={q !== ''} pending={pending} />}
      {filter === 'all' && importing.length > 0 && <ImportingCalls calls={importing} />}
      {filter !== 'live' && <EndedCalls ended={ended} searching={q !== ''} />}
    </div>
  );
}
