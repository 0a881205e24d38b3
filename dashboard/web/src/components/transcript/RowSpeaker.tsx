import { UnstyledButton } from '@mantine/core';
import type { Speaker } from '../../api/types';
import { speakerName } from '../../names';
import { isGuess } from '../../state/speakers';
import { SpeakerMenu } from '../speakers/SpeakerMenu';
import classes from './Rows.module.css';

interface RowSpeakerProps {
  trackId: string;
  speaker: Speaker;
  party: string;
}

/** Whose turn it is on a mixed track. A click corrects it; the keyboard does so above the transcript. */
export function RowSpeaker({ trackId, speaker, party }: RowSpeakerProps) {
  const name = speakerName(speaker.speaker);
  return (
    <SpeakerMenu trackId={trackId} speaker={speaker}>
      <UnstyledButton
        className={classes.speaker}
        title="Say who this is"
        tabIndex={-1}
        data-testid="row-speaker"
      >
        {party}
        {party !== name && (
          <span className={classes.role}>
            {name}
            {isGuess(speaker) && ' · guessed'}
          </span>
        )}
      </UnstyledButton>
    </SpeakerMenu>
  );
}
