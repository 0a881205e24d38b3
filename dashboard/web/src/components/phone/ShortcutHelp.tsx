import { ActionIcon, Kbd, Popover, Switch } from '@mantine/core';
import { IconKeyboard } from '@tabler/icons-react';
import { SHORTCUTS } from '../../phone/shortcuts';
import classes from './ShortcutHelp.module.css';

interface ShortcutHelpProps {
  opened: boolean;
  onChange: (opened: boolean) => void;
  enabled: boolean;
  onEnabled: (enabled: boolean) => void;
}

/** Which keys do what, and the switch that turns them off. */
export function ShortcutHelp({ opened, onChange, enabled, onEnabled }: ShortcutHelpProps) {
  return (
    <Popover
      opened={opened}
      onChange={onChange}
      position="top-end"
      width={290}
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <ActionIcon
          aria-label="Keyboard shortcuts"
          aria-expanded={opened}
          data-testid="phone-help"
          onClick={() => onChange(!opened)}
        >
          <IconKeyboard size={18} stroke={1.7} />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label="Keyboard shortcuts" data-testid="phone-shortcuts">
        <dl className={classes.list}>
          {Object.entries(SHORTCUTS).map(([name, { keys, word }]) => (
            <div key={name} className={classes.row}>
              <dt>{word}</dt>
              <dd>
                {keys.map((key) => (
                  <Kbd key={key} size="xs">
                    {key}
                  </Kbd>
                ))}
              </dd>
            </div>
          ))}
        </dl>
        <Switch
          size="sm"
          label="Use these keys"
          description="They rest while you type"
          checked={enabled}
          onChange={(event) => onEnabled(event.currentTarget.checked)}
        />
      </Popover.Dropdown>
    </Popover>
  );
}
