import { Popover, UnstyledButton } from '@mantine/core';
import { IconAntennaBarsOff } from '@tabler/icons-react';
import { useState } from 'react';
import { gradeOf } from '../../phone/network';
import { usePhone } from '../../phone/PhoneContext';
import type { NetworkFigures, PhoneCall } from '../../phone/phone';
import classes from './NetworkQuality.module.css';
import { GRADE_MARKS } from './phoneMarks';

/** How good the line is, in a word; the figures behind it on request. */
export function NetworkQuality({ call }: { call: PhoneCall }) {
  const { view } = usePhone();
  const [opened, setOpened] = useState(false);
  const { heard } = view.audio;
  const grade = view.audio.link === 'connected' ? gradeOf([heard, call.network]) : null;
  const mark = grade && GRADE_MARKS[grade];
  const Icon = mark?.icon ?? IconAntennaBarsOff;
  const word = mark?.word ?? 'No line';
  return (
    <Popover opened={opened} onChange={setOpened} position="top-end" shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <UnstyledButton
          className={classes.root}
          data-testid="phone-quality"
          data-grade={grade ?? 'unknown'}
          aria-label={`Line: ${word.toLowerCase()}`}
          aria-expanded={opened}
          style={{ color: `var(--hl-${mark?.tone ?? 'unknown'})` }}
          onClick={() => setOpened((was) => !was)}
        >
          <Icon size={18} stroke={2} aria-hidden />
          {word}
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown aria-label="Quality of the line">
        <table className={classes.table} data-autofocus tabIndex={-1}>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Lost</th>
              <th scope="col">Jitter</th>
              <th scope="col">There and back</th>
            </tr>
          </thead>
          <tbody>
            <Way name="You hear" figures={heard} />
            <Way name="You send" figures={call.network} />
          </tbody>
        </table>
      </Popover.Dropdown>
    </Popover>
  );
}

function Way({ name, figures }: { name: string; figures: NetworkFigures | null }) {
  const ms = (value: number | null | undefined) => (value == null ? '–' : `${Math.round(value)} ms`);
  return (
    <tr className="numeric">
      <th scope="row">{name}</th>
      <td>{figures ? `${figures.loss_pct.toFixed(1)} %` : '–'}</td>
      <td>{ms(figures?.jitter_ms)}</td>
      <td>{ms(figures?.rtt_ms)}</td>
    </tr>
  );
}
