import type { Virtualizer } from '@tanstack/react-virtual';
import { type FocusEvent, type KeyboardEvent, type RefObject, useEffect, useRef, useState } from 'react';
import type { Row } from './rows';

const STEPS: Record<string, 1 | -1> = { ArrowDown: 1, ArrowUp: -1 };

const keyOf = (target: EventTarget) => (target instanceof HTMLElement ? target.dataset.key : undefined);

/** One Tab stop for the times of all lines, however many there are; the arrow keys go from line to line. */
export function useTimeKeys(
  rows: readonly Row[],
  virtualizer: Virtualizer<HTMLDivElement, Element>,
  viewport: RefObject<HTMLDivElement | null>,
) {
  const [chosen, setChosen] = useState<string | null>(null);
  const wanted = useRef<string | null>(null);

  // The line that was asked for may not have been drawn until now.
  useEffect(() => {
    if (wanted.current === null) return;
    const time = viewport.current?.querySelector<HTMLElement>(`[data-key="${CSS.escape(wanted.current)}"]`);
    if (!time) return;
    wanted.current = null;
    time.focus({ preventScroll: true });
  });

  const drawn = virtualizer.getVirtualItems().flatMap(({ index }) => rows[index] ?? []);
  const lines = drawn.filter((row) => row.type === 'segment');
  const stop = lines.some((row) => row.key === chosen) ? chosen : (lines[0]?.key ?? null);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    const from = rows.findIndex((row) => row.key === keyOf(event.target));
    if (step === undefined || from < 0) return;
    event.preventDefault();
    let to = from + step;
    while (rows[to]?.type === 'gap') to += step;
    const row = rows[to];
    if (!row) return;
    wanted.current = row.key;
    setChosen(row.key);
    virtualizer.scrollToIndex(to, { align: 'auto' });
  };
  const onFocus = ({ target }: FocusEvent) => {
    const key = keyOf(target);
    if (key !== undefined) setChosen(key);
  };
  return { stop, onKeyDown, onFocus };
}
