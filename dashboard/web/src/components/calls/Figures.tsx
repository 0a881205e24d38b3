import { Skeleton } from '@mantine/core';
import {
  type Icon,
  IconAlertTriangle,
  IconChecklist,
  IconMoodNeutral,
  IconPhoneCall,
} from '@tabler/icons-react';
import type { CallSummary } from '../../api/types';
import { plural, signed } from '../../format';
import { labelOfScore, readComplaint, readSentiment } from '../../state/insights';
import { SENTIMENT_MARKS, type Tone } from '../marks';
import classes from './Figures.module.css';

interface FiguresProps {
  live: CallSummary[];
  ended: CallSummary[];
  pending: boolean;
}

/** The wallboard: four figures over the calls on this page. */
export function Figures({ live, ended, pending }: FiguresProps) {
  const all = [...live, ...ended];
  const complaints = all.filter(complains);
  const liveComplaints = live.filter(complains).length;
  const scores = all.flatMap((call) => (call.sentiment && readSentiment(call.sentiment)?.score) ?? []);
  const mean = scores.length > 0 ? scores.reduce((sum, score) => sum + score, 0) / scores.length : null;
  const mood = mean === null ? null : SENTIMENT_MARKS[labelOfScore(mean)];
  const open = all.reduce((sum, call) => sum + call.open_action_items, 0);
  const callsWithOpen = all.filter((call) => call.open_action_items > 0).length;

  return (
    <dl className={classes.root}>
      <Figure
        icon={IconPhoneCall}
        tone={live.length > 0 ? 'good' : 'unknown'}
        name="Live calls"
        value={String(live.length)}
        note={live.length > 0 ? 'in progress now' : 'none in progress'}
        pending={pending}
      />
      <Figure
        icon={IconAlertTriangle}
        tone={complaints.length > 0 ? 'bad' : 'unknown'}
        name="Complaints"
        value={String(complaints.length)}
        note={liveComplaints > 0 ? `${liveComplaints} in live calls` : 'none in live calls'}
        pending={pending}
      />
      <Figure
        icon={mood?.icon ?? IconMoodNeutral}
        tone={mood?.tone ?? 'unknown'}
        name="Average sentiment"
        value={mean === null ? '–' : signed(mean)}
        note={
          mood === null ? 'not heard yet' : `${mood.word.toLowerCase()}, ${plural(scores.length, 'call')}`
        }
        pending={pending}
      />
      <Figure
        icon={IconChecklist}
        tone={open > 0 ? 'accent' : 'unknown'}
        name="Action items open"
        value={String(open)}
        note={open > 0 ? `across ${plural(callsWithOpen, 'call')}` : 'all done'}
        pending={pending}
      />
    </dl>
  );
}

const complains = ({ complaint }: CallSummary) =>
  complaint !== null && readComplaint(complaint)?.is_complaint === true;

interface FigureProps {
  icon: Icon;
  tone: Tone;
  name: string;
  value: string;
  note: string;
  pending: boolean;
}

function Figure({ icon: Icon, tone, name, value, note, pending }: FigureProps) {
  return (
    <div className={classes.figure}>
      <dt className={classes.name}>
        <Icon size={16} stroke={1.8} style={{ color: `var(--hl-${tone})` }} aria-hidden />
        {name}
      </dt>
      <dd className={classes.value}>
        {pending ? <Skeleton width={48} height={26} my={3} /> : <span className="numeric">{value}</span>}
        <span className={classes.note}>{pending ? '' : note}</span>
      </dd>
    </div>
  );
}
