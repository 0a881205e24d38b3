import type { Insight } from '../../api/types';
import { words } from '../../format';
import classes from './GenericCard.module.css';
import { InsightCard } from './InsightCard';

/** Draws an insight of a kind this screen has not been taught, from its body alone. */
export function GenericCard({ insight }: { insight: Insight }) {
  return (
    <InsightCard title={words(insight.kind)} testId={`insight-${insight.kind}`} insight={insight}>
      <Value value={insight.body} />
    </InsightCard>
  );
}

function Value({ value }: { value: unknown }) {
  if (value === null || value === undefined || value === '')
    return <span className={classes.none}>none</span>;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) {
    return (
      <ul className={classes.list}>
        {value.map((item, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a list from a body has no ids and is drawn anew as a whole
          <li key={i}>
            <Value value={item} />
          </li>
        ))}
      </ul>
    );
  }
  if (typeof value === 'object') {
    return (
      <dl className={classes.fields}>
        {Object.entries(value).map(([name, inner]) => (
          <div key={name} className={classes.field}>
            <dt>{words(name)}</dt>
            <dd dir="auto">
              <Value value={inner} />
            </dd>
          </div>
        ))}
      </dl>
    );
  }
  return String(value);
}
