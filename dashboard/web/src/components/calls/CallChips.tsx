import { IconAlertTriangle, IconChecklist, IconTargetArrow } from '@tabler/icons-react';
import type { CallSummary } from '../../api/types';
import { plural, words } from '../../format';
import { readComplaint, readIntent, readSentiment } from '../../state/insights';
import { Chip } from '../Chip';
import { SENTIMENT_MARKS, SEVERITY_MARKS } from '../marks';

/** A call's insights in a line: complaint, sentiment, intent, open action items. */
export function CallChips({ call }: { call: CallSummary }) {
  const { open_action_items } = call;
  const complaint = call.complaint && readComplaint(call.complaint);
  const sentiment = call.sentiment && readSentiment(call.sentiment);
  const intent = call.intent && readIntent(call.intent);
  const severity = complaint?.severity && SEVERITY_MARKS[complaint.severity];
  const mood = sentiment && SENTIMENT_MARKS[sentiment.label];
  return (
    <>
      {complaint?.is_complaint && (
        <Chip icon={severity?.icon ?? IconAlertTriangle} tone="bad">
          Complaint{severity ? ` · ${severity.word}` : ''}
        </Chip>
      )}
      {mood && (
        <Chip icon={mood.icon} tone={mood.tone}>
          {mood.word}
        </Chip>
      )}
      {intent && <Chip icon={IconTargetArrow}>{words(intent.label)}</Chip>}
      {open_action_items > 0 && (
        <Chip icon={IconChecklist} title={plural(open_action_items, 'open action item')}>
          {open_action_items} open
        </Chip>
      )}
    </>
  );
}
