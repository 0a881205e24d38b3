import { Popover, UnstyledButton } from '@mantine/core';
import { IconHistory } from '@tabler/icons-react';
import { useState } from 'react';
import type { PhoneCall } from '../../phone/phone';
import { CallerHistory } from './CallerHistory';
import classes from './HistoryButton.module.css';

/** The caller's earlier calls, once more. */
export function HistoryButton({ call }: { call: PhoneCall }) {
  const [opened, setOpened] = useState(false);
  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      position="top-start"
      width={340}
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <UnstyledButton
          className={classes.root}
          aria-expanded={opened}
          data-testid="phone-history-button"
          onClick={() => setOpened((was) => !was)}
        >
          <IconHistory size={13} stroke={1.9} aria-hidden />
          History
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown p={0} className={classes.dropdown} aria-label="Earlier calls">
        {opened && <CallerHistory number={call.from_number} except={call.call_id} />}
      </Popover.Dropdown>
    </Popover>
  );
}
