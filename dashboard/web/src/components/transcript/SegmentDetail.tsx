import { Popover, UnstyledButton } from '@mantine/core';
import { IconInfoCircle } from '@tabler/icons-react';
import { useState } from 'react';
import { percent, plural } from '../../format';
import { languageName, tongueOf } from '../../languages';
import type { ScreenSegment } from '../../state/call';
import { isLow, isUnsure } from './annotate';
import classes from './SegmentDetail.module.css';

/** Around a word, not part of it. */
const SIGNS = /^[\s¿¡"“(]+|[\s.,;:!?…")”]+$/g;

interface SegmentDetailProps {
  segment: ScreenSegment;
  /** The row that it belongs to. */
  rowKey: string;
  tabStop: boolean;
}

/** How sure the recogniser was of a line and of its doubtful words; in sight by itself only where it was unsure. */
export function SegmentDetail({ segment, rowKey, tabStop }: SegmentDetailProps) {
  const [opened, setOpened] = useState(false);
  const { confidence, words = [], language, text, original_text } = segment;
  const doubtful = words.filter(isUnsure);
  const low = isLow(segment);
  const sure = confidence === null ? null : `${percent(confidence)} sure`;
  const tongue = tongueOf(language);
  const said = [
    sure ?? 'Details of this line',
    doubtful.length > 0 && `${plural(doubtful.length, 'word')} may be wrong`,
  ];

  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      position="bottom-start"
      width={260}
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <UnstyledButton
          className={classes.root}
          data-testid="segment-detail"
          data-key={rowKey}
          data-stop="detail"
          lang="en"
          data-low={low}
          data-doubtful={doubtful.length > 0}
          tabIndex={tabStop ? 0 : -1}
          aria-label={said.filter(Boolean).join(', ')}
          aria-expanded={opened}
          onClick={() => setOpened((was) => !was)}
        >
          <IconInfoCircle size={low ? 13 : 15} stroke={1.8} aria-hidden />
          {low && <span className="numeric">{sure}</span>}
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown className={classes.detail} aria-label="Details of this line" data-testid="detail">
        <dl className={classes.facts} data-autofocus tabIndex={-1}>
          {confidence !== null && (
            <div className={classes.fact}>
              <dt>Confidence in the line</dt>
              <dd className="numeric">{percent(confidence)}</dd>
            </div>
          )}
          {tongue !== '' && (
            <div className={classes.fact}>
              <dt>Language</dt>
              <dd>{languageName(tongue)}</dd>
            </div>
          )}
          {doubtful.length > 0 && (
            <div className={classes.list}>
              <dt>Words that may be wrong</dt>
              {doubtful.map(({ w, p, start_ms }) => (
                <dd key={`${start_ms} ${w}`} className={classes.fact}>
                  <span className={classes.word} lang={tongue || undefined}>
                    {w.replace(SIGNS, '')}
                  </span>
                  <span className="numeric">{percent(p)}</span>
                </dd>
              ))}
            </div>
          )}
          {original_text && original_text !== text && (
            <div className={classes.list}>
              <dt>As it was heard</dt>
              <dd dir="auto" lang={tongue || undefined}>
                {original_text}
              </dd>
            </div>
          )}
        </dl>
      </Popover.Dropdown>
    </Popover>
  );
}
