import { Button, Group, Modal, Text } from '@mantine/core';
import { useMic } from '../../mic/MicContext';
import { MIC_PROBLEMS } from './problems';

export function MicProblemDialog() {
  const { state, start, dismiss } = useMic();
  const failed = state.phase === 'failed' ? state : null;
  const explained = failed && MIC_PROBLEMS[failed.problem];
  return (
    <Modal opened={failed !== null} onClose={dismiss} title={explained?.title} centered>
      <Text size="sm" c="dimmed">
        {failed?.message || explained?.advice}
      </Text>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={dismiss}>
          Close
        </Button>
        <Button onClick={start}>Try again</Button>
      </Group>
    </Modal>
  );
}
