import type { Icon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import classes from './Banner.module.css';

interface BannerProps {
  icon: Icon;
  tone: 'warn' | 'bad';
  testId: string;
  children: ReactNode;
}

export function Banner({ icon: Icon, tone, testId, children }: BannerProps) {
  return (
    <div
      className={classes.root}
      role="status"
      data-testid={testId}
      style={{ color: `var(--hl-${tone})`, background: `var(--hl-${tone}-soft)` }}
    >
      <Icon size={16} stroke={1.8} aria-hidden />
      <span>{children}</span>
    </div>
  );
}
