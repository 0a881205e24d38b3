import { useEffect, useRef } from 'react';
import classes from './LevelMeter.module.css';

const BAR_HEIGHTS_PX = [6, 8, 11, 13, 16];

/** Bars that rise with the voice. Drawn outside React: it changes with every frame. */
export function LevelMeter({ level }: { level: () => number }) {
  const root = useRef<HTMLSpanElement>(null);

  useEffect(() => {
    let frame = 0;
    const draw = () => {
      const lit = level() * BAR_HEIGHTS_PX.length;
      const bars = root.current?.children ?? [];
      for (let i = 0; i < bars.length; i += 1) {
        const share = Math.max(0.15, Math.min(1, lit - i));
        (bars[i] as HTMLElement).style.opacity = String(share);
      }
      frame = requestAnimationFrame(draw);
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, [level]);

  return (
    <span ref={root} className={classes.root} aria-hidden>
      {BAR_HEIGHTS_PX.map((height) => (
        <span key={height} style={{ height }} />
      ))}
    </span>
  );
}
