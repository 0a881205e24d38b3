import type { Role } from '../api/types';
import { ROLE_MARKS } from './marks';
import classes from './RoleAvatar.module.css';

export function RoleAvatar({ role, size = 26 }: { role: Role; size?: number }) {
  const { icon: Icon } = ROLE_MARKS[role];
  return (
    <span
      className={classes.root}
      style={{
        width: size,
        height: size,
        color: `var(--hl-${role})`,
        background: `var(--hl-${role}-soft)`,
      }}
      aria-hidden
    >
      <Icon size={Math.round(size * 0.6)} stroke={1.8} />
    </span>
  );
}
