import classes from './GuessMark.module.css';

/** The server thinks so, from what was said; nobody has said so. */
export function GuessMark() {
  return (
    <span
      className={classes.root}
      title="Guessed from what was said. Click to say who it is."
      data-testid="guessed"
    >
      guessed
    </span>
  );
}
