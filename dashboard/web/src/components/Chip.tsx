import type { Icon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import classes from './Chip.module.css';
import type { Tone } from './marks';

interface ChipProps {
  icon?: Icon;
  tone?: Tone;
  children: ReactNode;
  title?: string;
  testId?: string;
}

/** A small label: an icon and words on a soft ground. */
export function Chip({ icon: Icon, tone = 'unknown', children, title, testId }: ChipProps) {
  return (
    <span
      className={classes.root}
      style={{ color: `var(--hl-${tone})`, background: `var(--hl-${tone}-soft)` }}
      title={title}
      data-testid={testId}
    >
      {Icon && <Icon size={14} stroke={1.8} aria-hidden />}
      <span className={classes.text}>{children}</span>
    </span>
  );
}
