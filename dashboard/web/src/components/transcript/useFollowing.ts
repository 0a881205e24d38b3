import type { Virtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, type PointerEvent, type RefObject, useEffect, useState } from 'react';
import { useMoment, usePlaybackOfPage } from '../recording/PlaybackContext';
import type { Row } from './rows';
import { spokenRow } from './spoken';

/** Where the line being spoken may stand without the transcript moving, as parts of its height. */
const [UPPER, LOWER] = [0.12, 0.72];

const SCROLL_KEYS = new Set(['PageUp', 'PageDown', 'Home', 'End', 'ArrowUp', 'ArrowDown', ' ']);

/** Keeps the line that is being played in sight, until somebody scrolls elsewhere. */
export function useFollowing(
  rows: readonly Row[],
  virtualizer: Virtualizer<HTMLDivElement, Element>,
  viewport: RefObject<HTMLDivElement | null>,
) {
  const playback = usePlaybackOfPage();
  const playing = useMoment(playback, (moment) => moment.playing) ?? false;
  const jumps = useMoment(playback, (moment) => moment.jumps);
  const at = useMoment(playback, ({ begun, timeMs }) => (begun ? spokenRow(rows, timeMs) : -1)) ?? -1;
  const [left, setLeft] = useState(false);

  // biome-ignore lint/correctness/useExhaustiveDependencies: going to another place means wanting to see it
  useEffect(() => setLeft(false), [jumps]);

  useEffect(() => {
    if (left || at < 0 || !viewport.current) return;
    const frame = viewport.current.getBoundingClientRect();
    const row = viewport.current.querySelector(`[data-index="${at}"]`)?.getBoundingClientRect();
    const inSight =
      row && row.top >= frame.top + UPPER * frame.height && row.bottom <= frame.top + LOWER * frame.height;
    if (!inSight) virtualizer.scrollToIndex(at, { align: 'center' });
  }, [at, left, viewport, virtualizer]);

  const leave = () => setLeft(true);
  return {
    isAway: left && playing,
    leave,
    comeBack: () => setLeft(false),
    handlers: {
      onWheel: leave,
      onTouchMove: leave,
      // On the scroll bar, which lies beside the content.
      onPointerDown: ({ nativeEvent, target, currentTarget }: PointerEvent) => {
        if (target === currentTarget && nativeEvent.offsetX > currentTarget.clientWidth) leave();
      },
    },
    onKeyDown: ({ key, target, currentTarget }: KeyboardEvent) => {
      if (target === currentTarget && SCROLL_KEYS.has(key)) leave();
    },
  };
}
