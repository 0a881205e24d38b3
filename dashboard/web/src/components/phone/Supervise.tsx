import { IconArrowBigRightLines, IconDoorExit } from '@tabler/icons-react';
import type { CallFacts, Stage } from '../../api/types';
import { usePhone } from '../../phone/PhoneContext';
import type { SuperviseMode } from '../../phone/phone';
import { CallButton } from './CallButton';
import { MODE_MARKS } from './phoneMarks';
import classes from './Supervise.module.css';

const MODES: SuperviseMode[] = ['listen', 'whisper', 'barge'];
const WITH_AGENT: readonly (Stage | null | undefined)[] = ['talking', 'held', 'consulting'];

/** Listening in on a call, for supervisors: muted unless they choose otherwise. Nothing for everybody else. */
export function Supervise({ call, onCard = false }: { call: CallFacts; onCard?: boolean }) {
  const { view, softphone } = usePhone();
  const { phone, pending, connection } = view;
  if (!phone || phone.role === 'agent') return null;
  const mine = phone.call;
  const here = mine?.call_id === call.id && mine.part === 'supervisor' ? mine : null;
  const possible = call.status === 'live' && WITH_AGENT.includes(call.stage) && mine?.call_id !== call.id;
  if (!here && !possible) return null;

  const call_id = call.id;
  const mode = here ? (here.mode ?? 'listen') : null;
  const disabled =
    connection !== 'live' ||
    (mine !== null && !here) ||
    pending.has('supervise') ||
    pending.has('take_over') ||
    pending.has('leave');
  const why = mine !== null && !here ? 'You are in another call' : undefined;
  return (
    <div className={classes.root} data-on-card={onCard} data-testid="supervise" title={why}>
      <div className={classes.buttons} role="toolbar" aria-label="Supervise this call">
        {MODES.map((choice) => (
          <CallButton
            key={choice}
            icon={MODE_MARKS[choice].icon}
            word={MODE_MARKS[choice].word}
            testId={`supervise-${choice}`}
            tone={mode === choice ? 'chosen' : 'plain'}
            small
            aria-pressed={mode === choice}
            disabled={disabled}
            onClick={() => void softphone.do({ do: 'supervise', call_id, mode: choice })}
          />
        ))}
        {here && (
          <>
            <CallButton
              icon={IconArrowBigRightLines}
              word="Take over"
              testId="supervise-takeover"
              small
              disabled={disabled}
              onClick={() => void softphone.do({ do: 'take_over', call_id })}
            />
            <CallButton
              icon={IconDoorExit}
              word="Leave"
              testId="supervise-leave"
              small
              disabled={disabled}
              onClick={() => void softphone.do({ do: 'leave', call_id })}
            />
          </>
        )}
      </div>
      {mode && (
        <span className={classes.mode} data-testid="supervise-mode" data-mode={mode}>
          {MODE_MARKS[mode].doing}: {MODE_MARKS[mode].note}
        </span>
      )}
    </div>
  );
}
