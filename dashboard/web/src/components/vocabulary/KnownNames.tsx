import { useQuery } from '@tanstack/react-query';
import { api } from '../../api/client';
import type { Me, Queue } from '../../api/types';
import classes from './KnownNames.module.css';

interface KnownNamesProps {
  me: Me;
  queues: readonly Queue[];
}

/** What nobody needs to add. Agents may not list each other: they are told without names. */
export function KnownNames({ me, queues }: KnownNamesProps) {
  const { data } = useQuery({ queryKey: ['agents'], queryFn: api.agents, enabled: me.role !== 'agent' });
  const agents = (data?.items ?? []).flatMap(({ name, role }) => (role === 'agent' ? name : []));
  const names = queues.flatMap(({ name, is_default }) => (is_default ? [] : name));
  return (
    <section className={classes.root} aria-labelledby="known-names">
      <h2 id="known-names" className={classes.title}>
        Known without being added
      </h2>
      <p className={classes.note}>
        The names of your agents and queues take part by themselves, and change as those do.
      </p>
      {(agents.length > 0 || names.length > 0) && (
        <dl className={classes.lists}>
          <Names of="Agents" names={agents} />
          <Names of="Queues" names={names} />
        </dl>
      )}
    </section>
  );
}

const SHOWN = 12;

function Names({ of, names }: { of: string; names: readonly string[] }) {
  if (names.length === 0) return null;
  const more = names.length - SHOWN;
  return (
    <div className={classes.list}>
      <dt>{of}</dt>
      <dd>
        {names.slice(0, SHOWN).join(', ')}
        {more > 0 && ` and ${more} more`}
      </dd>
    </div>
  );
}
