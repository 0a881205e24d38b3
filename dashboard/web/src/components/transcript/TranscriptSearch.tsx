import { ActionIcon, TextInput } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { IconChevronDown, IconChevronUp, IconSearch, IconX } from '@tabler/icons-react';
import { type KeyboardEvent, useRef } from 'react';
import classes from './TranscriptSearch.module.css';

interface TranscriptSearchProps {
  query: string;
  onQuery: (query: string) => void;
  hits: number;
  /** Which hit is chosen, from 0. */
  current: number;
  onStep: (step: 1 | -1) => void;
}

export function TranscriptSearch({ query, onQuery, hits, current, onStep }: TranscriptSearchProps) {
  const input = useRef<HTMLInputElement>(null);
  useHotkeys([['/', () => input.current?.focus()]]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') onStep(event.shiftKey ? -1 : 1);
    if (event.key === 'Escape') {
      onQuery('');
      input.current?.blur();
    }
  };

  return (
    <search className={classes.root}>
      <TextInput
        ref={input}
        className={classes.input}
        size="xs"
        placeholder="Search transcript"
        aria-label="Search transcript"
        aria-keyshortcuts="/"
        leftSection={<IconSearch size={14} stroke={1.8} />}
        rightSection={query === '' ? <kbd className={classes.key}>/</kbd> : null}
        value={query}
        onChange={(event) => onQuery(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {query.trim() !== '' && (
        <>
          <span className={`${classes.count} numeric`} role="status">
            {hits === 0 ? 'No match' : `${current + 1} of ${hits}`}
          </span>
          <ActionIcon size="sm" aria-label="Previous match" disabled={hits === 0} onClick={() => onStep(-1)}>
            <IconChevronUp size={16} />
          </ActionIcon>
          <ActionIcon size="sm" aria-label="Next match" disabled={hits === 0} onClick={() => onStep(1)}>
            <IconChevronDown size={16} />
          </ActionIcon>
          <ActionIcon size="sm" aria-label="Clear search" onClick={() => onQuery('')}>
            <IconX size={16} />
          </ActionIcon>
        </>
      )}
    </search>
  );
}
