import { Loader, UnstyledButton } from '@mantine/core';
import { dayAndTime } from '../../format';
import { usePhone } from '../../phone/PhoneContext';
import { PHONE_STATUSES } from '../../phone/phone';
import { AGENT_MARKS } from './phoneMarks';
import { Since } from './Since';
import classes from './StatusSwitch.module.css';

/** Whether calls may ring here, and since when. */
export function StatusSwitch() {
  const { view, setStatus } = usePhone();
  const { phone, connection, pending } = view;
  if (!phone) return null;
  const { status, since } = phone;
  const { word, tone } = AGENT_MARKS[status];
  return (
    <div className={classes.root}>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would draw a frame of its own */}
      <div className={classes.switch} role="group" aria-label="Your status">
        {PHONE_STATUSES.map((choice) => {
          const { icon: Icon, word: choiceWord, tone: choiceTone } = AGENT_MARKS[choice];
          const chosen = status === choice;
          return (
            <UnstyledButton
              key={choice}
              className={classes.choice}
              aria-pressed={chosen}
              data-testid={`phone-${choice}`}
              disabled={connection !== 'live' || pending.has('status')}
              onClick={() => !chosen && setStatus(choice)}
              style={chosen ? { color: `var(--hl-${choiceTone})` } : undefined}
            >
              <Icon size={15} stroke={1.9} aria-hidden />
              {choiceWord}
            </UnstyledButton>
          );
        })}
      </div>
      <span
        className={classes.since}
        data-testid="phone-status"
        data-status={status}
        title={`${word} since ${dayAndTime(since)}`}
        style={{ color: `var(--hl-${tone})` }}
      >
        {pending.has('status') ? (
          <Loader size={14} color="gray" />
        ) : (
          <>
            <span className="visually-hidden">{word} for </span>
            <Since at={since} />
          </>
        )}
      </span>
    </div>
  );
}
