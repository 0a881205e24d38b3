import { IconPlayerPause, IconWaveSawTool } from '@tabler/icons-react';
import { clock, span } from '../../format';
import classes from './HoleMarks.module.css';
import type { Hole } from './holes';

const ICONS = { pause: IconPlayerPause, hold: IconPlayerPause, gap: IconWaveSawTool };

/** Shades what holds no sound, with its name where there is room. */
export function HoleMarks({ holes, durationMs }: { holes: readonly Hole[]; durationMs: number }) {
  return holes.map((hole) => {
    const Icon = ICONS[hole.kind];
    return (
      <span
        key={`${hole.kind}:${hole.lane}:${hole.start_ms}`}
        className={classes.mark}
        data-testid="recording-hole"
        data-kind={hole.kind}
        data-lane={hole.lane}
        title={`${hole.name} ${extentOf(hole)} · ${hole.why}`}
        style={{
          left: `${(100 * hole.start_ms) / durationMs}%`,
          width: `${(100 * (hole.end_ms - hole.start_ms)) / durationMs}%`,
        }}
        aria-hidden
      >
        <span className={classes.name}>
          <Icon size={13} stroke={1.8} />
          <span className={classes.words}>{hole.short}</span>
        </span>
      </span>
    );
  });
}

interface HoleListProps {
  holes: readonly Hole[];
  onGo: (ms: number) => void;
}

/** The same in words: marks of a second are too narrow to be named in place. */
export function HoleList({ holes, onGo }: HoleListProps) {
  if (holes.length === 0) return null;
  return (
    <ul className={classes.list} aria-label="Parts without sound">
      {holes.map((hole) => {
        const Icon = ICONS[hole.kind];
        return (
          <li key={`${hole.kind}:${hole.lane}:${hole.start_ms}`}>
            <button
              type="button"
              className={classes.entry}
              data-kind={hole.kind}
              title={`${hole.why}. Go to the sound after it`}
              onClick={() => onGo(hole.end_ms)}
            >
              <Icon size={13} stroke={1.8} aria-hidden />
              {hole.name}
              <span className="numeric">{extentOf(hole)}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function extentOf({ start_ms, end_ms, lost_ms }: Hole): string {
  return lost_ms ? `${span(lost_ms)} at ${clock(start_ms)}` : `${clock(start_ms)}–${clock(end_ms)}`;
}
