import { IconPlayerPause, IconWaveSawTool } from '@tabler/icons-react';
import { memo } from 'react';
import { clock, span } from '../../format';
import { isHold, type Loss } from './losses';
import classes from './Rows.module.css';
import { causeOf } from './rows';

export const GapRow = memo(function GapRow({ gap, party }: { gap: Loss; party: string }) {
  const hold = isHold(gap);
  const Icon = hold ? IconPlayerPause : IconWaveSawTool;
  return (
    <div className={classes.gap} data-testid="gap" data-cause={gap.cause}>
      <span className={`${classes.time} numeric`}>{clock(gap.start_ms)}</span>
      <p className={classes.hole} data-hold={hold}>
        <Icon size={15} stroke={1.7} aria-hidden />
        <span>
          {hold ? (
            <b className="numeric">Caller on hold for {span(gap.lost_ms)}</b>
          ) : (
            <>
              <b className="numeric">{missing(gap)}</b>: {causeOf(gap)}
            </>
          )}
          <span className={classes.holeParty}> · {party}</span>
        </span>
      </p>
    </div>
  );
});

function missing({ lost_ms, places }: Loss): string {
  if (lost_ms <= 0) return 'Words may be missing';
  return places > 1 ? `${span(lost_ms)} missing in ${places} places` : `${span(lost_ms)} missing`;
}
