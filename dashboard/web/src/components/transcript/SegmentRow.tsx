import { memo } from 'react';
import type { Speaker } from '../../api/types';
import { languageName } from '../../languages';
import type { ScreenSegment } from '../../state/call';
import { Chip } from '../Chip';
import { ROLE_MARKS } from '../marks';
import { RoleAvatar } from '../RoleAvatar';
import { isLow } from './annotate';
import { PlayTime } from './PlayTime';
import { RowSpeaker } from './RowSpeaker';
import classes from './Rows.module.css';
import { SegmentDetail } from './SegmentDetail';
import { SegmentText } from './SegmentText';

interface SegmentRowProps {
  rowKey: string;
  segment: ScreenSegment;
  head: boolean;
  /** To be told: it is another than before. */
  language: string | null;
  /** Whose words these are is not told yet. */
  waits: boolean;
  /** What to call the speaker. */
  party: string;
  /** Where several share a track and are told apart. */
  speaker: Speaker | null;
  query: string;
  currentHit: number | null;
  evidence: boolean;
  /** It was taken back. */
  leaving: boolean;
  /** Whether the Tab key comes to this line's buttons. */
  tabStop: boolean;
}

export const SegmentRow = memo(function SegmentRow(props: SegmentRowProps) {
  const {
    rowKey,
    segment,
    head,
    language,
    waits,
    party,
    speaker,
    query,
    currentHit,
    evidence,
    leaving,
    tabStop,
  } = props;
  const { role, seq, is_final } = segment;
  const roleWord = ROLE_MARKS[role].word;
  const low = is_final && isLow(segment);
  // Where a line is doubtful as a whole its end says so; else the details are beside it and take no room from it.
  const detail = is_final && <SegmentDetail segment={segment} rowKey={rowKey} tabStop={tabStop} />;
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
      data-leaving={leaving}
      aria-hidden={leaving}
    >
      <PlayTime
        segment={segment}
        rowKey={rowKey}
        party={party}
        tabStop={tabStop}
        className={`${classes.time} numeric`}
      />
      <div className={classes.beside}>
        {(head || waits) && <RoleAvatar role={role} />}
        {!low && (head || !waits) && detail}
      </div>
      <div className={classes.words}>
        {head && (
          <div className={classes.party} style={{ color: `var(--hl-${role})` }}>
            {speaker ? (
              <RowSpeaker trackId={segment.track_id} speaker={speaker} party={party} />
            ) : (
              <>
                {party}
                {party !== roleWord && role !== 'unknown' && <span className={classes.role}>{roleWord}</span>}
              </>
            )}
            {language && <Chip testId="language">{languageName(language)}</Chip>}
          </div>
        )}
        <p className={classes.text} dir="auto" lang={segment.language || undefined}>
          <SegmentText segment={segment} query={query} currentHit={currentHit} />
          {low && <> {detail}</>}
        </p>
      </div>
    </div>
  );
});
