import { Popover } from '@mantine/core';
import { IconDialpad } from '@tabler/icons-react';
import { useState } from 'react';
import { usePhone } from '../../phone/PhoneContext';
import type { PhoneCall } from '../../phone/phone';
import { DIGITS, type Digit, digitOf } from '../../phone/shortcuts';
import { CallButton } from './CallButton';
import classes from './Keypad.module.css';

const NAMES: Partial<Record<Digit, string>> = { '*': 'star', '#': 'hash' };
const SHOWN = 24;

interface KeypadProps {
  call: PhoneCall;
  opened: boolean;
  onChange: (opened: boolean) => void;
  disabled: boolean;
}

/** Sends tones to the caller: by clicking, or by the keyboard's digits while it is open. */
export function Keypad({ call, opened, onChange, disabled }: KeypadProps) {
  const { softphone } = usePhone();
  const [sent, setSent] = useState('');

  const press = (digit: Digit) => {
    setSent((before) => (before + digit).slice(-SHOWN));
    void softphone.do({ do: 'dtmf', call_id: call.call_id, digits: digit });
  };
  return (
    <Popover opened={opened} onChange={onChange} position="top" shadow="md" trapFocus returnFocus radius="lg">
      <Popover.Target>
        <CallButton
          icon={IconDialpad}
          word="Keypad"
          testId="phone-keypad"
          shortcut="keypad"
          aria-expanded={opened}
          disabled={disabled}
          onClick={() => onChange(!opened)}
        />
      </Popover.Target>
      <Popover.Dropdown
        p={12}
        aria-label="Keypad"
        onKeyDown={(event) => {
          const digit = digitOf(event.nativeEvent);
          if (!digit) return;
          event.preventDefault();
          press(digit);
        }}
      >
        <output className={`${classes.sent} numeric`} data-testid="phone-keypad-sent" aria-label="Keyed">
          {sent || <span className={classes.hint}>Click, or type digits</span>}
        </output>
        <div className={classes.keys}>
          {DIGITS.map((digit) => (
            <button
              key={digit}
              type="button"
              className={classes.key}
              data-testid={`phone-key-${NAMES[digit] ?? digit}`}
              aria-label={NAMES[digit] ?? digit}
              onClick={() => press(digit)}
            >
              {digit}
            </button>
          ))}
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}
