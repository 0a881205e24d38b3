import { IconLoader2, IconWifi, IconWifiOff } from '@tabler/icons-react';
import type { Connection } from '../state/feed';
import classes from './ConnectionState.module.css';

const SHOWN = {
  connecting: { icon: IconLoader2, word: 'Connecting' },
  live: { icon: IconWifi, word: 'Connected' },
  reconnecting: { icon: IconLoader2, word: 'Reconnecting' },
  offline: { icon: IconWifiOff, word: 'Offline' },
} as const;

export function ConnectionState({ connection }: { connection: Connection }) {
  const { icon: Icon, word } = SHOWN[connection.phase];
  return (
    <span
      className={classes.root}
      role="status"
      data-testid="connection-state"
      data-phase={connection.phase}
      title={`Live feed: ${word.toLowerCase()}`}
    >
      <Icon size={14} stroke={1.9} aria-hidden />
      <span className={classes.word}>{word}</span>
    </span>
  );
}
