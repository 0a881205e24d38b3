import { Button, Group, Modal } from '@mantine/core';
import type { ReactNode } from 'react';
import { useFocusBack } from './useFocusBack';

interface ConfirmProps {
  title: string;
  children: ReactNode;
  /** What happens on yes, as the button says it. */
  action: string;
  busy?: boolean;
  onConfirm: () => void;
  onCancel: () => void;
}

/** Asks before something that cannot be undone, as long as it is there. */
export function Confirm({ title, children, action, busy = false, onConfirm, onCancel }: ConfirmProps) {
  useFocusBack();
  return (
    <Modal opened onClose={onCancel} title={title} centered size="sm" zIndex={400}>
      {children}
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onCancel} data-autofocus>
          Cancel
        </Button>
        <Button
          style={{ color: '#fff', background: 'var(--hl-bad-solid)' }}
          loading={busy}
          onClick={onConfirm}
          data-testid="confirm"
        >
          {action}
        </Button>
      </Group>
    </Modal>
  );
}
