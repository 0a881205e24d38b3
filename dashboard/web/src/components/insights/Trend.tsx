import { signed } from '../../format';
import classes from './cards.module.css';

const WIDTH = 300;
const HEIGHT = 36;
const PAD = 3;

/** A small line of the scores so far; the dashed line is neutral. */
export function Trend({ scores }: { scores: readonly number[] }) {
  const x = (i: number) => PAD + (i / (scores.length - 1)) * (WIDTH - 2 * PAD);
  const y = (score: number) => HEIGHT / 2 - (score * (HEIGHT - 2 * PAD)) / 2;
  const points = scores.map((score, i) => `${x(i)},${y(score)}`).join(' ');
  const first = scores[0] ?? 0;
  const last = scores.at(-1) ?? 0;
  return (
    <svg
      className={classes.trend}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`Sentiment went from ${signed(first)} to ${signed(last)}`}
    >
      <line x1={0} x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} />
      <polyline points={points} />
    </svg>
  );
}
