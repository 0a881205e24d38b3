import { Tooltip } from '@mantine/core';
import { useMemo } from 'react';
import { percent } from '../../format';
import type { ScreenSegment } from '../../state/call';
import { annotate, type Span } from './annotate';
import classes from './SegmentText.module.css';

interface SegmentTextProps {
  segment: ScreenSegment;
  query: string;
  /** Where the chosen search hit starts in this line; null when it is in another. */
  currentHit: number | null;
}

/** A line's words, only ever as text nodes. */
export function SegmentText({ segment, query, currentHit }: SegmentTextProps) {
  const { text, words } = segment;
  const spans = useMemo(() => annotate(text, words ?? [], query), [text, words, query]);
  const isCurrent = ({ start }: Span) =>
    currentHit !== null && start >= currentHit && start < currentHit + query.trim().length;

  return spans.map((span) => <Part key={span.start} span={span} current={isCurrent(span)} />);
}

function Part({ span: { text, hit, unsure }, current }: { span: Span; current: boolean }) {
  const shown = hit ? (
    <mark className={classes.hit} data-current={current}>
      {text}
    </mark>
  ) : (
    text
  );
  if (unsure === null) return shown;
  return (
    <Tooltip label={`Heard with ${percent(unsure)} confidence`}>
      <span className={classes.unsure}>{shown}</span>
    </Tooltip>
  );
}
