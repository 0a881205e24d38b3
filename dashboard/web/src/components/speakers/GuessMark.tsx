import classes from './GuessMark.module.css';

interface GuessMarkProps {
  title?: string;
}

/** The server thinks so; nobody has said so. */
export function GuessMark({ title = 'Guessed from what was said. Click to say who it is.' }: GuessMarkProps) {
  return (
    <span className={classes.root} title={title} data-testid="guessed">
      guessed
    </span>
  );
}
