import classes from './LiveBadge.module.css';

export function LiveBadge() {
  return (
    <span className={classes.root} data-testid="live-badge">
      <span className={classes.dot} aria-hidden />
      Live
    </span>
  );
}
