import type { Virtualizer } from '@tanstack/react-virtual';
import { type FocusEvent, type KeyboardEvent, type RefObject, useEffect, useRef, useState } from 'react';
import type { Row } from './rows';

const STEPS: Record<string, 1 | -1> = { ArrowDown: 1, ArrowUp: -1 };

const dataOf = (target: EventTarget): DOMStringMap => (target instanceof HTMLElement ? target.dataset : {});

/** Only one line's buttons are Tab stops, however many lines there are; the arrow keys go from line to line. */
export function useRowKeys(
  rows: readonly Row[],
  virtualizer: Virtualizer<HTMLDivElement, Element>,
  viewport: RefObject<HTMLDivElement | null>,
) {
  const [chosen, setChosen] = useState<string | null>(null);
  const wanted = useRef<{ key: string; stop: string } | null>(null);

  // The line that was asked for may not have been drawn until now.
  useEffect(() => {
    if (wanted.current === null) return;
    const { key, stop } = wanted.current;
    const buttons = [
      ...(viewport.current?.querySelectorAll<HTMLElement>(`[data-key="${CSS.escape(key)}"]`) ?? []),
    ];
    const button = buttons.find((one) => one.dataset.stop === stop) ?? buttons[0];
    if (!button) return;
    wanted.current = null;
    button.focus({ preventScroll: true });
  });

  const drawn = virtualizer.getVirtualItems().flatMap(({ index }) => rows[index] ?? []);
  const lines = drawn.filter((row) => row.type === 'segment');
  const stop = lines.some((row) => row.key === chosen) ? chosen : (lines[0]?.key ?? null);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    const { key, stop } = dataOf(event.target);
    const from = rows.findIndex((row) => row.key === key);
    if (step === undefined || stop === undefined || from < 0) return;
    event.preventDefault();
    let to = from + step;
    while (rows[to]?.type === 'gap') to += step;
    const row = rows[to];
    if (!row) return;
    wanted.current = { key: row.key, stop };
    setChosen(row.key);
    virtualizer.scrollToIndex(to, { align: 'auto' });
  };
  const onFocus = ({ target }: FocusEvent) => {
    const { key } = dataOf(target);
    if (key !== undefined) setChosen(key);
  };
  return { stop, onKeyDown, onFocus };
}
