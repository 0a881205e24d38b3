import {
  Button,
  Group,
  MultiSelect,
  NumberInput,
  Radio,
  SegmentedControl,
  Select,
  Switch,
  TagsInput,
  Textarea,
  TextInput,
} from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import type { Agent, Queue, QueueFields } from '../../api/types';
import { words } from '../../format';
import { Banner } from '../Banner';
import { type Draft, draftOf, type Faults, faultsOf, fieldsOf } from './draft';
import classes from './QueueForm.module.css';
import { GREETINGS, MODES, TIMEOUTS } from './words';

const NAME_MAX_CHARS = 80;
const GREETING_MAX_CHARS = 1000;
const LIMITS = {
  ring_s: { least: 5, most: 300 },
  max_wait_s: { least: 0, most: 3600 },
  max_waiting: { least: 0, most: 1000 },
  overflow_after_s: { least: 0, most: 3600 },
};

interface QueueFormProps {
  /** Null: a new one. */
  queue: Queue | null;
  others: readonly Queue[];
  agents: readonly Agent[];
  /** What the server found wrong with which field. */
  refused: Faults;
  /** What it found wrong otherwise. */
  problem: string | null;
  readOnly: boolean;
  busy: boolean;
  onSave: (fields: QueueFields) => void;
  onEdit: () => void;
  onDelete: () => void;
}

export function QueueForm(props: QueueFormProps) {
  const { queue, others, agents, refused, problem, readOnly, busy, onSave, onEdit, onDelete } = props;
  const [draft, setDraft] = useState<Draft>(() => draftOf(queue));
  const [checked, setChecked] = useState<Faults>({});
  const faults: Faults = { ...refused, ...checked };
  const form = useRef<HTMLFormElement>(null);

  // The first field that was refused is where to go on.
  const faulty = Object.keys(faults).join();
  useEffect(() => {
    if (faulty === '') return;
    const field = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
    field?.focus({ preventScroll: true });
    // Not at the edge, where the drawer's own head and foot would hide it.
    field?.scrollIntoView({ block: 'center' });
  }, [faulty]);

  const set = (change: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...change }));
    onEdit();
  };
  const save = (event: FormEvent) => {
    event.preventDefault();
    const found = faultsOf(draft);
    setChecked(found);
    if (Object.keys(found).length === 0) onSave(fieldsOf(draft));
  };
  const number = (field: keyof typeof LIMITS, label: string, suffix = ' s') => (
    <NumberInput
      label={label}
      value={draft[field]}
      min={LIMITS[field].least}
      max={LIMITS[field].most}
      allowDecimal={false}
      suffix={suffix}
      error={faults[field]}
      onChange={(value) => set({ [field]: value })}
    />
  );

  return (
    <form ref={form} className={classes.root} data-testid="queue-form" noValidate onSubmit={save}>
      <fieldset className={classes.fields} disabled={readOnly}>
        {problem && (
          <Banner icon={IconAlertTriangle} tone="bad" testId="queue-problem">
            {problem}
          </Banner>
        )}
        <Part title="Queue">
          <TextInput
            label="Name"
            required={!readOnly}
            data-autofocus
            maxLength={NAME_MAX_CHARS}
            value={draft.name}
            error={faults.name}
            onChange={(event) => set({ name: event.currentTarget.value })}
          />
          {queue?.is_default ? (
            <p className={classes.note}>Takes every number that no other queue names.</p>
          ) : (
            <TagsInput
              label="Numbers"
              description="What callers dial, such as +442071838750. Enter or a comma ends a number."
              value={draft.numbers}
              error={faults.numbers}
              splitChars={[',', ';']}
              acceptValueOnBlur
              openOnFocus={false}
              onChange={(numbers) => set({ numbers })}
            />
          )}
          <Radio.Group
            label="Calls"
            value={draft.mode}
            error={faults.mode}
            onChange={(mode) => set({ mode: mode as Draft['mode'] })}
          >
            <div className={classes.choices}>
              {MODES.map(({ value, label, description }) => (
                <Radio key={value} value={value} label={label} description={description} />
              ))}
            </div>
          </Radio.Group>
          {draft.mode !== 'connect' && (
            <TextInput
              label="Whom Twilio rings"
              description="Up to ten, with commas: client:ann, sip:desk@pbx.example, +442071838750. Empty: the agents themselves."
              value={draft.dial}
              error={faults.dial}
              onChange={(event) => set({ dial: event.currentTarget.value })}
            />
          )}
        </Part>
        <Part title="Agents">
          <MultiSelect
            label="Who is rung"
            description="The agent who has been idle longest is rung first."
            placeholder={draft.agents.length === 0 ? 'Everybody' : ''}
            searchable
            clearable={!readOnly}
            hidePickedOptions
            nothingFoundMessage="Nobody of that name"
            data={agents.map(({ id, name, role }) => ({ value: id, label: `${name} · ${words(role)}` }))}
            value={draft.agents}
            error={faults.agents}
            onChange={(chosen) => set({ agents: chosen })}
          />
        </Part>
        <Part title="What callers hear">
          <div>
            <span className={classes.label} id="greeting-label">
              Greeting
            </span>
            <SegmentedControl
              fullWidth
              aria-labelledby="greeting-label"
              data={GREETINGS}
              value={draft.greeting}
              disabled={readOnly}
              onChange={(greeting) => set({ greeting: greeting as Draft['greeting'] })}
            />
          </div>
          {draft.greeting === 'own' && (
            <Textarea
              label="Words of the greeting"
              autosize
              minRows={2}
              maxRows={6}
              maxLength={GREETING_MAX_CHARS}
              value={draft.words}
              error={faults.greeting}
              onChange={(event) => set({ words: event.currentTarget.value })}
            />
          )}
          <Switch
            label="Music while they wait"
            checked={draft.music}
            onChange={(event) => set({ music: event.currentTarget.checked })}
          />
          <Switch
            label="Record the calls"
            checked={draft.recorded}
            onChange={(event) => set({ recorded: event.currentTarget.checked })}
          />
          <Switch
            label="Tell callers that the call is recorded"
            checked={draft.consent}
            onChange={(event) => set({ consent: event.currentTarget.checked })}
          />
        </Part>
        <Part title="Waiting">
          <div className={classes.pair}>
            {number('ring_s', 'Ring each agent for')}
            {number('max_waiting', 'At most waiting', ' callers')}
          </div>
          <div className={classes.pair}>
            {number('max_wait_s', 'Wait at most')}
            <Select
              label="Then"
              allowDeselect={false}
              data={TIMEOUTS}
              value={draft.on_timeout}
              error={faults.on_timeout}
              onChange={(choice) => choice && set({ on_timeout: choice })}
            />
          </div>
          <div className={classes.pair}>
            <Select
              label="Overflow to"
              placeholder="No other queue"
              clearable={!readOnly}
              data={others.map(({ id, name }) => ({ value: id, label: name }))}
              value={draft.overflow_to}
              error={faults.overflow_to}
              onChange={(overflow_to) => set({ overflow_to })}
            />
            {draft.overflow_to !== null && number('overflow_after_s', 'After')}
          </div>
        </Part>
      </fieldset>
      {readOnly ? (
        <p className={classes.note}>Only admins change queues.</p>
      ) : (
        <Group className={classes.foot} justify="space-between">
          {queue && !queue.is_default ? (
            <Button variant="subtle" color="red" data-testid="queue-delete" onClick={onDelete}>
              Delete
            </Button>
          ) : (
            <span />
          )}
          <Button type="submit" loading={busy} data-testid="queue-save">
            {queue ? 'Save' : 'Create queue'}
          </Button>
        </Group>
      )}
    </form>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={classes.part}>
      <h3 className={classes.title}>{title}</h3>
      {children}
    </section>
  );
}
