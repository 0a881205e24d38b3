import { Button, UnstyledButton } from '@mantine/core';
import { IconArrowsExchange, IconChevronDown } from '@tabler/icons-react';
import type { Leg } from '../../api/types';
import { partyName } from '../../names';
import { guessedFrom, isGuess, type Party, sidesOf } from '../../state/speakers';
import { ROLE_MARKS } from '../marks';
import { GuessMark } from './GuessMark';
import { SpeakerMenu } from './SpeakerMenu';
import classes from './SpeakerStrip.module.css';
import { useSpeakers } from './SpeakersContext';

interface PartyStripProps {
  parties: readonly Party[];
  legs: Readonly<Record<string, Leg>>;
  door: string;
}

/** What an imported recording calls its tracks. */
const CHANNELS: Readonly<Record<string, string>> = { left: 'Left channel', right: 'Right channel' };

/** Who is in a call that another system carries, and in which role; a click corrects it. */
export function PartyStrip({ parties, legs, door }: PartyStripProps) {
  const { setRole } = useSpeakers();
  const sides = sidesOf(parties.map(({ speaker }) => speaker));
  const swap = () => {
    const [one, other] = parties.filter(({ speaker }) => sides?.includes(speaker));
    if (!one || !other) return;
    setRole({ trackId: one.trackId, speaker: one.speaker.speaker, role: other.speaker.role });
    setRole({ trackId: other.trackId, speaker: other.speaker.speaker, role: one.speaker.role });
  };
  return (
    <fieldset className={classes.root} data-testid="parties">
      <legend className={classes.legend}>Parties</legend>
      {parties.map(({ trackId, legId, label, speaker }) => (
        <PartyButton
          key={trackId}
          trackId={trackId}
          name={
            (legs[legId]?.name ? undefined : CHANNELS[label]) ??
            partyName(speaker.role, speaker.speaker, legs[legId])
          }
          why={guessedFrom(door)}
          speaker={speaker}
        />
      ))}
      {sides && (
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<IconArrowsExchange size={15} />}
          data-testid="swap-parties"
          onClick={swap}
        >
          Swap sides
        </Button>
      )}
    </fieldset>
  );
}

type PartyButtonProps = Pick<Party, 'trackId' | 'speaker'> & { name: string; why: string };

function PartyButton({ trackId, name, why, speaker }: PartyButtonProps) {
  const { role, source } = speaker;
  const { icon: Icon, word } = ROLE_MARKS[role];
  return (
    <SpeakerMenu trackId={trackId} speaker={speaker} name={name}>
      <UnstyledButton
        className={classes.speaker}
        style={{ color: `var(--hl-${role})`, background: `var(--hl-${role}-soft)` }}
        data-testid="party"
        data-role={role}
        data-source={source}
      >
        <Icon size={15} stroke={1.8} aria-hidden />
        {name}
        {role !== 'unknown' && name !== word && <span className={classes.role}>{word}</span>}
        {isGuess(speaker) && <GuessMark title={`${why} Click to say who it is.`} />}
        <IconChevronDown size={13} stroke={2} aria-hidden />
        <span className="visually-hidden">: say who this is</span>
      </UnstyledButton>
    </SpeakerMenu>
  );
}
