import { IconAlertTriangle } from '@tabler/icons-react';
import type { Recording } from '../../api/types';
import { words } from '../../format';
import { Banner } from '../Banner';

/** Why there is nothing to listen to. */
export function RecordingFailed({ recording }: { recording: Recording }) {
  return (
    <Banner icon={IconAlertTriangle} tone="bad" testId="recording-failed">
      The recording failed{recording.reason ? `: ${words(recording.reason)}` : ''}.
    </Banner>
  );
}
