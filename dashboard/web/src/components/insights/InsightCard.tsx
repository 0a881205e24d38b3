import { IconCpu, IconSparkles } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { Insight } from '../../api/types';
import { useServerNow } from '../../clock';
import { ago } from '../../format';
import { sourceName } from '../../state/insights';
import type { Tone } from '../marks';
import { EvidenceButton } from './EvidenceButton';
import { useEvidence } from './evidence';
import classes from './InsightCard.module.css';

interface InsightCardProps {
  title: string;
  testId?: string;
  insight?: Insight | null;
  /** At the right of the title. */
  aside?: ReactNode;
  tone?: Tone | undefined;
  /** It is rewritten as the call goes on: say when it last was. */
  running?: boolean;
  children: ReactNode;
}

/** The frame of every insight: its title, what it says, where it came from, the lines it rests on. */
export function InsightCard({
  title,
  testId,
  insight,
  aside,
  tone,
  running = false,
  children,
}: InsightCardProps) {
  const evidence = insight?.evidence ?? [];
  const { handlers } = useEvidence(evidence);
  return (
    <section
      className={classes.root}
      data-testid={testId}
      data-tone={tone}
      style={tone && { borderColor: `color-mix(in srgb, var(--hl-${tone}) 40%, var(--hl-line))` }}
      aria-label={title}
      {...handlers}
    >
      <div className={classes.head}>
        <h2 className={classes.title}>{title}</h2>
        {aside}
      </div>
      {children}
      {insight && (
        <div className={classes.foot}>
          <Source source={insight.source} />
          {running && insight.updated_at && <Updated at={insight.updated_at} />}
          <span className={classes.spring} />
          <EvidenceButton segmentIds={evidence} />
        </div>
      )}
    </section>
  );
}

function Source({ source }: { source: string }) {
  const SourceIcon = source.startsWith('llm:') ? IconSparkles : IconCpu;
  return (
    <span className={classes.source}>
      <SourceIcon size={13} stroke={1.8} aria-hidden />
      <span className="visually-hidden">Source: </span>
      <span className={classes.sourceName}>{sourceName(source)}</span>
    </span>
  );
}

function Updated({ at }: { at: string }) {
  const now = useServerNow();
  const time = Date.parse(at);
  return Number.isNaN(time) ? null : <span>updated {ago(time, now)}</span>;
}

/** The frame before its insight is there: one line. */
export function AwaitingCard({
  title,
  testId,
  children,
}: {
  title: string;
  testId: string;
  children: string;
}) {
  return (
    <section className={classes.awaiting} data-testid={testId} aria-label={title}>
      <h2 className={classes.title}>{title}</h2>
      <span>{children}</span>
    </section>
  );
}
