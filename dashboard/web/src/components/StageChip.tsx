import { IconHeadset, IconUsers } from '@tabler/icons-react';
import type { CallPlace } from '../api/types';
import { Chip } from './Chip';
import { stageMark } from './marks';

/** In these the caller is with nobody; an agent that is still named was there before. */
const ALONE = new Set(['queued', 'voicemail', 'callback']);

/** How far a call is, in which queue and with which agent; once it has ended, whose it was. */
export function StageChip({ call: { stage, queue, agent } }: { call: CallPlace }) {
  if (!stage) {
    const whose = [agent, queue].filter(Boolean).join(' · ');
    return whose ? <Chip icon={agent ? IconHeadset : IconUsers}>{whose}</Chip> : null;
  }
  const { icon, word, tone } = stageMark(stage);
  const where = [word, ALONE.has(stage) ? null : agent, queue].filter(Boolean).join(' · ');
  return (
    <Chip icon={icon} tone={tone} title={where} testId="call-stage">
      {where}
    </Chip>
  );
}
