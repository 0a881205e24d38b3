import { IconWaveSawTool } from '@tabler/icons-react';
import { memo } from 'react';
import type { Gap } from '../../api/types';
import { clock, span } from '../../format';
import classes from './Rows.module.css';
import { causeOf } from './rows';

export const GapRow = memo(function GapRow({ gap, party }: { gap: Gap; party: string }) {
  const lost = gap.end_ms - gap.start_ms;
  return (
    <div className={classes.gap} data-testid="gap">
      <span className={`${classes.time} numeric`}>{clock(gap.start_ms)}</span>
      <p className={classes.hole}>
        <IconWaveSawTool size={15} stroke={1.7} aria-hidden />
        <span>
          <b className="numeric">{lost > 0 ? `${span(lost)} missing` : 'Words may be missing'}</b>:{' '}
          {causeOf(gap)}
          <span className={classes.holeParty}> · {party}</span>
        </span>
      </p>
    </div>
  );
});
