import { IconAlertTriangle, IconCircleCheck } from '@tabler/icons-react';
import type { Insight } from '../../api/types';
import { words } from '../../format';
import { readComplaint } from '../../state/insights';
import { Chip } from '../Chip';
import { SEVERITY_MARKS } from '../marks';
import classes from './cards.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';

export function ComplaintCard({ insight, live }: { insight: Insight | null; live: boolean }) {
  const complaint = insight && readComplaint(insight.body);
  if (!complaint) {
    return (
      <AwaitingCard title="Complaint" testId="complaint">
        {live ? 'None heard so far' : 'None was found'}
      </AwaitingCard>
    );
  }
  if (!complaint.is_complaint) {
    return (
      <InsightCard title="Complaint" testId="complaint" insight={insight}>
        <p className={classes.calm}>
          <IconCircleCheck size={17} stroke={1.8} aria-hidden />
          No complaint
        </p>
      </InsightCard>
    );
  }
  const mark = complaint.severity && SEVERITY_MARKS[complaint.severity];
  const tone = mark?.tone ?? 'bad';
  return (
    <InsightCard
      title="Complaint"
      testId="complaint"
      insight={insight}
      tone={tone}
      aside={
        <Chip icon={mark?.icon ?? IconAlertTriangle} tone={tone}>
          {mark?.word ?? 'Complaint'}
        </Chip>
      }
    >
      {complaint.category && <p className={classes.headline}>{words(complaint.category)}</p>}
      {complaint.reason && (
        <p className={classes.reason} dir="auto">
          {complaint.reason}
        </p>
      )}
    </InsightCard>
  );
}
