import { Button, Group, Modal, Text } from '@mantine/core';
import { usePhone } from '../../phone/PhoneContext';
import { MIC_PROBLEMS } from '../mic/problems';

/** Why there is no microphone, and what to do about it. In a call the caller is heard all the same. */
export function PhoneProblemDialog() {
  const { view, softphone } = usePhone();
  const { problem, phone } = view;
  const explained = problem && MIC_PROBLEMS[problem];
  return (
    <Modal
      opened={problem !== null}
      onClose={() => softphone.dismissProblem()}
      title={explained?.title}
      centered
      transitionProps={{ exitDuration: 0 }}
    >
      <Text size="sm" c="dimmed" data-testid="phone-problem">
        {explained?.advice}
      </Text>
      <Text size="sm" mt="sm">
        {phone?.call
          ? 'You hear the caller, but the caller does not hear you.'
          : 'Your status stays as it is until the microphone works: a caller would not hear you.'}
      </Text>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={() => softphone.dismissProblem()}>
          Close
        </Button>
        <Button onClick={() => softphone.retryMicrophone()}>Try again</Button>
      </Group>
    </Modal>
  );
}
