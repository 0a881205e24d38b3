import { Button, Group, Modal, TextInput } from '@mantine/core';
import { IconArrowRight, IconMessage2Question, IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { words } from '../../format';
import { usePhone } from '../../phone/PhoneContext';
import type { Colleague, PhoneCall } from '../../phone/phone';
import { AGENT_MARKS } from './phoneMarks';
import classes from './TransferDialog.module.css';

const SEARCH_FROM = 7;
const ORDER = ['online', 'ringing', 'busy', 'break', 'offline'];

interface TransferDialogProps {
  call: PhoneCall;
  opened: boolean;
  onClose: () => void;
}

/** Whom to hand the call to, and whether to speak with them first. */
export function TransferDialog({ call, opened, onClose }: TransferDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title="Transfer the call" centered size={460}>
      <Choice call={call} onClose={onClose} />
    </Modal>
  );
}

function Choice({ call, onClose }: Omit<TransferDialogProps, 'opened'>) {
  const { view, softphone } = usePhone();
  const [chosen, setChosen] = useState<string | null>(null);
  const [search, setSearch] = useState('');
  const { phone, pending, connection } = view;
  const others = (phone?.agents ?? [])
    .filter(({ user_id }) => user_id !== phone?.user_id)
    .toSorted((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || a.name.localeCompare(b.name));
  const found = others.filter(({ name }) => name.toLowerCase().includes(search.trim().toLowerCase()));
  const to = others.find(({ user_id, status }) => user_id === chosen && status === 'online');
  const free = others.length < SEARCH_FROM ? found.find(({ status }) => status === 'online') : undefined;
  const ready = to !== undefined && connection === 'live' && !pending.has('transfer');

  const transfer = async (kind: 'blind' | 'attended') => {
    if (!to) return;
    const { call_id } = call;
    if (await softphone.do({ do: 'transfer', call_id, to: to.user_id, kind })) onClose();
  };
  if (others.length === 0)
    return <p className={classes.nobody}>There is nobody to transfer it to: you are the only agent.</p>;
  return (
    <>
      {others.length >= SEARCH_FROM && (
        <TextInput
          mb="sm"
          placeholder="Find a colleague"
          aria-label="Find a colleague"
          data-autofocus
          leftSection={<IconSearch size={16} stroke={1.7} />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
      )}
      {found.length === 0 && <p className={classes.nobody}>Nobody of that name.</p>}
      <fieldset className={classes.list}>
        <legend className="visually-hidden">Transfer to</legend>
        {found.map((agent) => (
          <AgentChoice
            key={agent.user_id}
            agent={agent}
            chosen={chosen === agent.user_id}
            first={agent === free}
            onChoose={() => setChosen(agent.user_id)}
          />
        ))}
      </fieldset>
      <p className={classes.note}>
        Transfer now: the caller hears music until your colleague answers. Ask first: you speak with your
        colleague while the caller waits, then complete the transfer or go back.
      </p>
      <Group justify="flex-end" gap="sm">
        <Button
          variant="default"
          leftSection={<IconArrowRight size={16} stroke={1.8} />}
          data-testid="transfer-blind"
          disabled={!ready}
          onClick={() => void transfer('blind')}
        >
          Transfer now
        </Button>
        <Button
          leftSection={<IconMessage2Question size={16} stroke={1.8} />}
          data-testid="transfer-attended"
          disabled={!ready}
          onClick={() => void transfer('attended')}
        >
          Ask first
        </Button>
      </Group>
    </>
  );
}

function AgentChoice({
  agent,
  chosen,
  first,
  onChoose,
}: {
  agent: Colleague;
  chosen: boolean;
  /** Whether the keyboard begins here. */
  first: boolean;
  onChoose: () => void;
}) {
  const { icon: Icon, word, tone } = AGENT_MARKS[agent.status] ?? AGENT_MARKS.offline;
  return (
    <label
      className={classes.agent}
      data-testid="transfer-agent"
      data-user-id={agent.user_id}
      data-status={agent.status}
      data-chosen={chosen}
    >
      <input
        type="radio"
        name="transfer-to"
        checked={chosen}
        data-autofocus={first || undefined}
        disabled={agent.status !== 'online'}
        onChange={onChoose}
      />
      <span className={classes.name}>
        {agent.name}
        <span className={classes.role}>{words(agent.role)}</span>
      </span>
      <span className={classes.status} style={{ color: `var(--hl-${tone})` }}>
        <Icon size={15} stroke={1.8} aria-hidden />
        {word}
      </span>
    </label>
  );
}
