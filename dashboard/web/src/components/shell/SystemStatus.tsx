import { ActionIcon, Popover } from '@mantine/core';
import { IconActivityHeartbeat, IconCircleCheck, IconCircleX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../../api/client';
import type { System } from '../../api/types';
import { span } from '../../format';
import { serviceName } from '../marks';
import { overloadWords } from '../overload';
import classes from './SystemStatus.module.css';

/** What the server is made of, and whether each part is well. Asked only while it is open. */
export function SystemStatus() {
  const [opened, setOpened] = useState(false);
  const asked = { enabled: opened, staleTime: 5_000, refetchInterval: opened ? 10_000 : (false as const) };
  const readiness = useQuery({ queryKey: ['readiness'], queryFn: api.readiness, ...asked });
  const system = useQuery({ queryKey: ['system'], queryFn: api.system, ...asked });

  return (
    <Popover opened={opened} onChange={setOpened} position="bottom-end" width={300} shadow="md" trapFocus>
      <Popover.Target>
        <ActionIcon
          aria-label="System status"
          aria-expanded={opened}
          onClick={() => setOpened((was) => !was)}
        >
          <IconActivityHeartbeat size={18} stroke={1.7} />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown p={0}>
        <div className={classes.section}>
          <h2 className={classes.heading}>Services</h2>
          {readiness.isPending && <p className={classes.note}>Asking…</p>}
          {readiness.error && <p className={classes.note}>The server does not answer.</p>}
          <ul className={classes.list}>
            {Object.entries(readiness.data?.checks ?? {}).map(([name, check]) => (
              <li key={name} className={classes.check} data-ok={check.ok}>
                {check.ok ? <IconCircleCheck size={16} aria-hidden /> : <IconCircleX size={16} aria-hidden />}
                <span className={classes.checkName}>{serviceName(name)}</span>
                <span className={classes.detail}>{check.detail ?? (check.ok ? 'Well' : 'Away')}</span>
              </li>
            ))}
          </ul>
        </div>
        {system.data && (
          <dl className={classes.section} data-facts>
            <Fact name="Recogniser" value={recognisers(system.data)} />
            <Fact name="Transcript" value={punctuality(system.data)} />
            <Fact
              name="Language model"
              value={
                system.data.llm.provider === 'none'
                  ? 'Built-in analysis'
                  : `${system.data.llm.model ?? system.data.llm.provider} · ${system.data.llm.state}`
              }
            />
            <Fact name="Version" value={system.data.version} />
          </dl>
        )}
      </Popover.Dropdown>
    </Popover>
  );
}

function recognisers({ asr }: System): string {
  const named = asr.map(({ engine, model }) => [engine, model].filter(Boolean).join(' · '));
  return [...new Set(named)].filter(Boolean).join(', ') || 'none at work';
}

function punctuality({ overload }: System): string {
  if (!overload || overload.step === 0) return 'In time';
  const behind = overload.lag_ms > 0 ? ` (${span(overload.lag_ms)} behind)` : '';
  return `${overloadWords(overload.step)}${behind}`;
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div className={classes.fact}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
