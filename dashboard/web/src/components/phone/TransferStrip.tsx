import { Button } from '@mantine/core';
import { IconCheck, IconLoader2, IconUsers, IconX } from '@tabler/icons-react';
import { usePhone } from '../../phone/PhoneContext';
import { isConsulted, type PhoneCall } from '../../phone/phone';
import classes from './TransferStrip.module.css';

/** A transfer under way: who is asked, and whether to complete it or to go back to the caller. */
export function TransferStrip({ call }: { call: PhoneCall }) {
  const { view, softphone } = usePhone();
  const { transfer, call_id } = call;
  if (!transfer) return null;
  const { to, state } = transfer;
  if (call.part === 'supervisor' || (view.phone && isConsulted(view.phone))) {
    const agent = call.parties.find(({ role, name }) => role === 'agent' && name !== to.name)?.name;
    return (
      <div className={classes.root} data-testid="phone-transfer-state" data-state="watched">
        <IconUsers size={17} stroke={1.8} aria-hidden />
        <span className={classes.words}>
          {call.part === 'supervisor' ? (
            <>
              {agent ?? 'The agent'} asks <strong>{to.name}</strong>; the caller waits
            </>
          ) : (
            <>
              You are speaking with <strong>{agent ?? 'a colleague'}</strong>; the caller waits and does not
              hear you
            </>
          )}
        </span>
      </div>
    );
  }
  const away = view.connection !== 'live';
  return (
    <div className={classes.root} data-testid="phone-transfer-state" data-state={state}>
      {state === 'ringing' ? (
        <IconLoader2 className={classes.turning} size={17} stroke={1.8} aria-hidden />
      ) : (
        <IconUsers size={17} stroke={1.8} aria-hidden />
      )}
      <span className={classes.words}>
        {state === 'ringing' ? 'Ringing ' : 'You are speaking with '}
        <strong>{to.name}</strong>
        {state === 'talking' && '; the caller waits'}
      </span>
      <Button
        size="xs"
        leftSection={<IconCheck size={15} stroke={2} />}
        data-testid="transfer-complete"
        disabled={away}
        loading={view.pending.has('complete_transfer')}
        onClick={() => void softphone.do({ do: 'complete_transfer', call_id })}
      >
        Complete
      </Button>
      <Button
        size="xs"
        variant="default"
        leftSection={<IconX size={15} stroke={2} />}
        data-testid="transfer-cancel"
        disabled={away}
        loading={view.pending.has('cancel_transfer')}
        onClick={() => void softphone.do({ do: 'cancel_transfer', call_id })}
      >
        Back to the caller
      </Button>
    </div>
  );
}
