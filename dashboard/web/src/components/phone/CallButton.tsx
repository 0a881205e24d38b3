import { Tooltip, UnstyledButton } from '@mantine/core';
import type { Icon } from '@tabler/icons-react';
import type { ComponentProps } from 'react';
import { ariaKeys, SHORTCUTS, type Shortcut } from '../../phone/shortcuts';
import classes from './CallButton.module.css';

interface CallButtonProps extends Omit<ComponentProps<'button'>, 'children'> {
  icon: Icon;
  word: string;
  testId: string;
  shortcut?: Shortcut;
  tone?: 'plain' | 'live' | 'on' | 'chosen' | 'bad';
  /** For places with less room; the word stays. */
  small?: boolean;
}

/** One of the things to do in a call: an icon, and a word where there is room for it. */
export function CallButton({
  icon: Icon,
  word,
  testId,
  shortcut,
  tone = 'plain',
  small = false,
  className,
  ...button
}: CallButtonProps) {
  const keys = shortcut && SHORTCUTS[shortcut].keys.join(' + ');
  return (
    <Tooltip label={keys ? `${word} (${keys})` : word} disabled={!keys || button['aria-expanded'] === true}>
      <UnstyledButton
        className={className ? `${classes.root} ${className}` : classes.root}
        data-tone={tone}
        data-small={small}
        data-testid={testId}
        aria-label={word}
        aria-keyshortcuts={shortcut && ariaKeys(shortcut)}
        {...button}
      >
        <Icon size={18} stroke={1.8} aria-hidden />
        <span className={classes.word} aria-hidden>
          {word}
        </span>
      </UnstyledButton>
    </Tooltip>
  );
}
