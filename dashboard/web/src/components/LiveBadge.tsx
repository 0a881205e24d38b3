import { IconFileImport } from '@tabler/icons-react';
import { clock } from '../format';
import { Chip } from './Chip';
import classes from './LiveBadge.module.css';

export function LiveBadge() {
  return (
    <span className={classes.root} data-testid="live-badge">
      <span className={classes.dot} aria-hidden />
      Live
    </span>
  );
}

/** In place of `Live` on a recording that is being brought in. */
export function ImportingBadge() {
  return (
    <Chip icon={IconFileImport} tone="accent" testId="importing-badge">
      Importing
    </Chip>
  );
}

/** How far into a recording its words are. */
export function Position({ ms }: { ms: number }) {
  return (
    <span className="numeric" title="How far into the recording">
      {clock(ms)}
    </span>
  );
}
