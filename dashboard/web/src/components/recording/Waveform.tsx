import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from 'react';
import type { Peaks } from '../../api/types';
import { clock } from '../../format';
import { HoleMarks } from './HoleMarks';
import type { Hole } from './holes';
import type { LaneRoles } from './lanes';
import { useMoment } from './PlaybackContext';
import { barsOf, heightOf, loudestOf } from './peaks';
import type { Playback } from './playback';
import classes from './Waveform.module.css';

const BAR_PX = 2;
const PITCH_PX = 3;
const HEIGHT_PX = 68;

const STEP_MS: Record<string, number> = {
  ArrowLeft: -5_000,
  ArrowDown: -5_000,
  ArrowRight: 5_000,
  ArrowUp: 5_000,
  PageDown: -30_000,
  PageUp: 30_000,
};
const FINE = 0.2;

interface WaveformProps {
  playback: Playback;
  /** Null while they are on their way, or when they are not to be had: it still seeks. */
  peaks: Peaks | null;
  durationMs: number;
  lanes: LaneRoles;
  holes: readonly Hole[];
}

/** Both parties' sound over time, and where in it we are: a slider to look at. */
export function Waveform({ playback, peaks, durationMs, lanes: [upper, lower], holes }: WaveformProps) {
  const { ref: sized, width } = useElementSize();
  const root = useRef<HTMLDivElement>(null);
  const dragged = useRef<number | null>(null);
  const [pointedMs, setPointedMs] = useState<number | null>(null);
  const seconds = useMoment(playback, ({ timeMs }) => Math.floor(timeMs / 1000)) ?? 0;

  useEffect(() => {
    const place = () => {
      const at = (dragged.current ?? playback.timeMs) / durationMs;
      root.current?.style.setProperty('--at', String(Math.min(1, Math.max(0, at))));
    };
    place();
    return playback.subscribe(place);
  }, [playback, durationMs]);

  const msAt = (event: PointerEvent) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width)) * durationMs;
  };
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    const ms = msAt(event);
    setPointedMs(event.pointerType === 'touch' ? null : ms);
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    dragged.current = ms;
    root.current?.style.setProperty('--at', String(ms / durationMs));
  };
  const onPointerDown = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    drag(event);
  };
  const drop = () => {
    const ms = dragged.current;
    dragged.current = null;
    if (ms !== null) playback.seek(ms);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEP_MS[event.key];
    if (step !== undefined) playback.seek(playback.timeMs + step * (event.shiftKey ? FINE : 1));
    else if (event.key === 'Home') playback.seek(0);
    else if (event.key === 'End') playback.seek(durationMs);
    else if (event.key === ' ' || event.key === 'Enter') playback.toggle();
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={root}
      className={classes.root}
      data-testid="recording-wave"
      role="slider"
      tabIndex={0}
      aria-label="Position in the recording"
      aria-valuemin={0}
      aria-valuemax={Math.floor(durationMs / 1000)}
      aria-valuenow={seconds}
      aria-valuetext={`${clock(seconds * 1000)} of ${clock(durationMs)}`}
      onKeyDown={onKeyDown}
      onPointerDown={onPointerDown}
      onPointerMove={drag}
      onPointerUp={drop}
      onPointerCancel={() => {
        dragged.current = null;
      }}
      onPointerLeave={() => setPointedMs(null)}
    >
      <div ref={sized} className={classes.lanes}>
        <Lanes peaks={peaks} durationMs={durationMs} width={width} tones={['line-strong', 'line-strong']} />
        <div className={classes.played}>
          <Lanes
            peaks={peaks}
            durationMs={durationMs}
            width={width}
            tones={[upper ?? 'customer', lower ?? 'agent']}
          />
        </div>
      </div>
      <HoleMarks holes={holes} durationMs={durationMs} />
      <span className={classes.head} aria-hidden />
      {pointedMs !== null && (
        <span
          className={`${classes.pointed} numeric`}
          style={{ left: `${(100 * pointedMs) / durationMs}%` }}
          aria-hidden
        >
          {clock(pointedMs)}
        </span>
      )}
    </div>
  );
}

interface LanesProps {
  peaks: Peaks | null;
  durationMs: number;
  width: number;
  /** The colours of the upper and the lower lane, as tokens.css names them. */
  tones: readonly [string, string];
}

/** The left side above, the right one below; each lane is drawn around its own middle. */
function Lanes({ peaks, durationMs, width, tones: [upper, lower] }: LanesProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useComputedColorScheme('light');

  // biome-ignore lint/correctness/useExhaustiveDependencies: another scheme means other colours
  useEffect(() => {
    // In a frame of its own: by then the page has the scheme's colours.
    const frame = requestAnimationFrame(() => canvas.current && draw(canvas.current));
    return () => cancelAnimationFrame(frame);

    function draw(target: HTMLCanvasElement): void {
      const context = target.getContext('2d');
      if (!context || width === 0) return;
      const ratio = window.devicePixelRatio || 1;
      target.width = Math.round(width * ratio);
      target.height = Math.round(HEIGHT_PX * ratio);
      context.scale(ratio, ratio);
      const colours = getComputedStyle(target);
      const count = Math.floor(width / PITCH_PX);
      const lanes = [peaks?.left ?? [], peaks?.right ?? []].map((lane) =>
        barsOf(lane, peaks?.step_ms ?? 0, durationMs, count),
      );
      const loudest = loudestOf(...lanes);
      for (const [lane, bars] of lanes.entries()) {
        const middle = HEIGHT_PX * (lane === 0 ? 0.25 : 0.75);
        context.fillStyle = colours.getPropertyValue(`--hl-${lane === 0 ? upper : lower}`);
        bars.forEach((bar, i) => {
          const height = Math.max(1.5, heightOf(bar, loudest) * (HEIGHT_PX / 2 - 4));
          context.fillRect(i * PITCH_PX, middle - height / 2, BAR_PX, height);
        });
      }
    }
  }, [peaks, durationMs, width, upper, lower, scheme]);

  return <canvas ref={canvas} className={classes.canvas} style={{ height: HEIGHT_PX }} aria-hidden />;
}
