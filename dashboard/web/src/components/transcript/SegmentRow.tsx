import { memo } from 'react';
import type { ScreenSegment } from '../../state/call';
import { ROLE_MARKS } from '../marks';
import { RoleAvatar } from '../RoleAvatar';
import { PlayTime } from './PlayTime';
import classes from './Rows.module.css';
import { SegmentText } from './SegmentText';

interface SegmentRowProps {
  segment: ScreenSegment;
  head: boolean;
  /** What to call the speaker. */
  party: string;
  query: string;
  currentHit: number | null;
  evidence: boolean;
  /** Whether the Tab key comes to this line's time. */
  tabStop: boolean;
}

export const SegmentRow = memo(function SegmentRow(props: SegmentRowProps) {
  const { segment, head, party, query, currentHit, evidence, tabStop } = props;
  const { role, seq, is_final } = segment;
  const roleWord = ROLE_MARKS[role].word;
  return (
    <div
      className={classes.segment}
      data-testid="segment"
      data-final={is_final}
      data-role={role}
      data-seq={seq}
      data-segment-id={segment.segment_id}
      data-head={head}
      data-evidence={evidence}
    >
      <PlayTime segment={segment} party={party} tabStop={tabStop} className={`${classes.time} numeric`} />
      <div className={classes.avatar}>{head && <RoleAvatar role={role} />}</div>
      <div className={classes.words}>
        {head && (
          <p className={classes.party} style={{ color: `var(--hl-${role})` }}>
            {party}
            {party !== roleWord && role !== 'unknown' && <span className={classes.role}>{roleWord}</span>}
          </p>
        )}
        <p className={classes.text} dir="auto" lang={segment.language || undefined}>
          <SegmentText segment={segment} query={query} currentHit={currentHit} />
        </p>
      </div>
    </div>
  );
});
