import classes from './DoorIcon.module.css';
import { doorMark } from './marks';

/** The transport a call came in by. */
export function DoorIcon({ door, size = 'md' }: { door: string; size?: 'sm' | 'md' }) {
  const { icon: Icon, word } = doorMark(door);
  return (
    <span className={classes.root} data-size={size} title={word}>
      <Icon size={size === 'sm' ? 15 : 18} stroke={1.7} aria-hidden />
      <span className="visually-hidden">{word}</span>
    </span>
  );
}
