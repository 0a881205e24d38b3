import { ActionIcon, Popover } from '@mantine/core';
import { IconHelpCircle } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { GuessMark } from '../speakers/GuessMark';
import classes from './Legend.module.css';
import text from './SegmentText.module.css';

/** What the marks in a transcript mean, in plain words. */
export function Legend({ mixed }: { mixed: boolean }) {
  const [opened, setOpened] = useState(false);
  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      position="bottom-start"
      width={320}
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <ActionIcon
          size="md"
          aria-label="How to read the transcript"
          aria-expanded={opened}
          data-testid="legend-button"
          onClick={() => setOpened((was) => !was)}
        >
          <IconHelpCircle size={17} stroke={1.7} />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label="How to read the transcript" data-testid="legend">
        <dl className={classes.root} data-autofocus tabIndex={-1}>
          <Entry sign={<span className={text.loose}>pale words</span>}>
            Just heard, and may still change. Once they are dark, they stay.
          </Entry>
          <Entry sign={<span className={text.unsure}>dotted line</span>}>
            The recogniser was less than half sure of this word. Point at it, or hold a finger on it, to see
            how sure.
          </Entry>
          <Entry sign={<span className={classes.low}>41 % sure</span>}>
            It was less than half sure of the whole line: better listen to it before you rely on it.
          </Entry>
          {mixed && (
            <Entry sign={<GuessMark />}>
              Several people share this line. Who is who was guessed from what they said; click a name to put
              it right.
            </Entry>
          )}
        </dl>
      </Popover.Dropdown>
    </Popover>
  );
}

function Entry({ sign, children }: { sign: ReactNode; children: ReactNode }) {
  return (
    <div className={classes.entry}>
      <dt>{sign}</dt>
      <dd>{children}</dd>
    </div>
  );
}
