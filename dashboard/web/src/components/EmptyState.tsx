import type { Icon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import classes from './EmptyState.module.css';

interface EmptyStateProps {
  icon: Icon;
  title: string;
  detail?: ReactNode;
  role?: 'alert' | 'status';
  children?: ReactNode;
}

export function EmptyState({ icon: Icon, title, detail, role, children }: EmptyStateProps) {
  return (
    <div className={classes.root} role={role}>
      <span className={classes.icon}>
        <Icon size={22} stroke={1.6} aria-hidden />
      </span>
      <p className={classes.title}>{title}</p>
      {detail && <div className={classes.detail}>{detail}</div>}
      {children && <div className={classes.actions}>{children}</div>}
    </div>
  );
}
