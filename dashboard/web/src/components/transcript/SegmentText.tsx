import { Tooltip } from '@mantine/core';
import { type MouseEvent, useMemo } from 'react';
import type { Word } from '../../api/types';
import { percent } from '../../format';
import type { ScreenSegment } from '../../state/call';
import { useMoment, usePlaybackOfPage } from '../recording/PlaybackContext';
import { annotate, firmLength, type Span } from './annotate';
import classes from './SegmentText.module.css';
import { spokenWord } from './spoken';

interface SegmentTextProps {
  segment: ScreenSegment;
  query: string;
  /** Where the chosen search hit starts in this line; null when it is in another. */
  currentHit: number | null;
}

const NO_WORDS: readonly Word[] = [];
const WAYS = { hover: true, focus: false, touch: true };

/** A line's words, only ever as text nodes. With a recording, a click on one plays from there. */
export function SegmentText({ segment, query, currentHit }: SegmentTextProps) {
  const { text, words = NO_WORDS, start_ms, is_final, stable } = segment;
  const playback = usePlaybackOfPage();
  const heard = playback !== null;
  const firm = is_final ? text.length : firmLength(text, stable);
  const spans = useMemo(
    () => annotate(text, words, { query, everyWord: heard, firm }),
    [text, words, query, heard, firm],
  );
  const spoken = useMoment(playback, ({ begun, timeMs }) => (begun ? spokenWord(words, timeMs) : -1));
  const isCurrent = ({ start }: Span) =>
    currentHit !== null && start >= currentHit && start < currentHit + query.trim().length;

  const parts = spans.map((span) => (
    <Part
      key={span.start}
      span={span}
      current={isCurrent(span)}
      spoken={span.word !== null && span.word === spoken}
    />
  ));
  if (!playback) return parts;

  const play = ({ target }: MouseEvent) => {
    // Choosing words with the mouse is no wish to hear them.
    if (!(target instanceof Element) || getSelection()?.isCollapsed === false) return;
    const at = target.closest<HTMLElement>('[data-word]')?.dataset.word;
    playback.playFrom(words[Number(at ?? Number.NaN)]?.start_ms ?? start_ms);
  };
  return (
    // biome-ignore lint/a11y: the line's time is the button for the keyboard
    <span className={classes.playable} onClick={play}>
      {parts}
    </span>
  );
}

interface PartProps {
  span: Span;
  current: boolean;
  spoken: boolean;
}

function Part({ span: { text, hit, unsure, word, loose }, current, spoken }: PartProps) {
  const shown = hit ? (
    <mark className={classes.hit} data-current={current}>
      {text}
    </mark>
  ) : (
    text
  );
  const sounding =
    word === null ? (
      shown
    ) : (
      <span className={classes.word} data-testid="word" data-word={word} data-spoken={spoken || undefined}>
        {shown}
      </span>
    );
  if (loose) return <span className={classes.loose}>{sounding}</span>;
  if (unsure === null) return sounding;
  return (
    <Tooltip label={`Heard with ${percent(unsure)} confidence`} events={WAYS}>
      <span className={classes.unsure} data-testid="unsure">
        {sounding}
      </span>
    </Tooltip>
  );
}
