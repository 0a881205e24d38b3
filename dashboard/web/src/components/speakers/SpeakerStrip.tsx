import { Button, UnstyledButton } from '@mantine/core';
import { IconArrowsExchange, IconChevronDown } from '@tabler/icons-react';
import type { Speaker } from '../../api/types';
import { speakerName, voiceName } from '../../names';
import { isGuess, sidesOf } from '../../state/speakers';
import { ROLE_MARKS } from '../marks';
import { GuessMark } from './GuessMark';
import { SpeakerMenu } from './SpeakerMenu';
import classes from './SpeakerStrip.module.css';
import { useSpeakers } from './SpeakersContext';

interface SpeakerStripProps {
  trackId: string;
  /** What to call the track, where there are several. */
  line: string | null;
}

/** Who was told apart on a mixed track, and in which role; a click corrects it. */
export function SpeakerStrip({ trackId, line }: SpeakerStripProps) {
  const { speakers, swap } = useSpeakers();
  const heard = speakers[trackId] ?? [];
  return (
    <fieldset className={classes.root} data-testid="speakers">
      <legend className={classes.legend}>{line === null ? 'Speakers' : `Speakers on ${line}`}</legend>
      {heard.length === 0 && <span className={classes.waits}>Listening for who speaks</span>}
      {heard.map((speaker) => (
        <SpeakerMenu key={speaker.speaker} trackId={trackId} speaker={speaker}>
          <SpeakerButton speaker={speaker} />
        </SpeakerMenu>
      ))}
      {sidesOf(heard) && (
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<IconArrowsExchange size={15} />}
          data-testid="swap-sides"
          onClick={() => swap(trackId)}
        >
          Swap sides
        </Button>
      )}
    </fieldset>
  );
}

/** Menu.Target hands on its props. */
function SpeakerButton({ speaker, ...target }: { speaker: Speaker }) {
  const { role, source } = speaker;
  const { icon: Icon } = ROLE_MARKS[role];
  return (
    <UnstyledButton
      {...target}
      className={classes.speaker}
      style={{ color: `var(--hl-${role})`, background: `var(--hl-${role}-soft)` }}
      data-testid="speaker"
      data-speaker={speaker.speaker}
      data-role={role}
      data-source={source}
    >
      <Icon size={15} stroke={1.8} aria-hidden />
      {voiceName(speaker)}
      {role !== 'unknown' && <span className={classes.voice}>{speakerName(speaker.speaker)}</span>}
      {isGuess(speaker) && <GuessMark />}
      <IconChevronDown size={13} stroke={2} aria-hidden />
      <span className="visually-hidden">: say who this is</span>
    </UnstyledButton>
  );
}
