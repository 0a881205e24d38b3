import { Menu } from '@mantine/core';
import { IconArrowsExchange } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { Role, Speaker } from '../../api/types';
import { speakerName } from '../../names';
import { sidesOf } from '../../state/speakers';
import { ROLE_MARKS } from '../marks';
import { useSpeakers } from './SpeakersContext';

const CHOICES: readonly Role[] = ['agent', 'customer', 'supervisor', 'unknown'];

interface SpeakerMenuProps {
  trackId: string;
  speaker: Speaker;
  /** What to call them, if not by their number. */
  name?: string;
  /** The button that opens it. */
  children: ReactNode;
}

/** Says who somebody is. */
export function SpeakerMenu({
  trackId,
  speaker,
  name = speakerName(speaker.speaker),
  children,
}: SpeakerMenuProps) {
  const { speakers, setRole, swap } = useSpeakers();
  return (
    <Menu position="bottom-start" width={200}>
      <Menu.Target>{children}</Menu.Target>
      <Menu.Dropdown data-testid="speaker-menu">
        <Menu.Label>Who is {name}?</Menu.Label>
        <Menu.RadioGroup
          value={speaker.role}
          onChange={(role) => setRole({ trackId, speaker: speaker.speaker, role: role as Role })}
        >
          {CHOICES.map((role) => (
            <Menu.RadioItem key={role} value={role} closeMenuOnClick>
              {role === 'unknown' ? 'Not known' : ROLE_MARKS[role].word}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        {sidesOf(speakers[trackId] ?? []) && (
          <>
            <Menu.Divider />
            <Menu.Item leftSection={<IconArrowsExchange size={15} />} onClick={() => swap(trackId)}>
              Swap sides
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
