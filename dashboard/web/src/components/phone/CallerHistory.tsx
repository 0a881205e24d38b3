import { Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { api } from '../../api/client';
import { useNow } from '../../clock';
import { startedAt } from '../../format';
import { isWithheld } from '../../numbers';
import { CallChips } from '../calls/CallChips';
import classes from './CallerHistory.module.css';

const SHOWN = 5;

/** What the caller called about before. */
export function CallerHistory({ number: told, except }: { number: string | null; except: string }) {
  const number = told === null || isWithheld(told) ? null : told;
  const now = useNow();
  const query = useQuery({
    queryKey: ['calls', 'history', number, except],
    queryFn: ({ signal }) => api.listCalls({ q: number ?? '', limit: SHOWN }, signal),
    enabled: number !== null,
    staleTime: 30_000,
  });
  const earlier = (query.data?.items ?? []).filter(
    (call) => call.id !== except && (call.from_number === number || call.to_number === number),
  );
  return (
    <section className={classes.root} aria-label="Earlier calls" data-testid="phone-history">
      <h3 className={classes.title}>Earlier calls</h3>
      {number === null && <p className={classes.note}>The number is withheld.</p>}
      {number !== null && query.isPending && <Skeleton height={44} radius={8} />}
      {query.error && <p className={classes.note}>They could not be loaded.</p>}
      {query.data && earlier.length === 0 && <p className={classes.note}>None from this number.</p>}
      {earlier.length > 0 && (
        <ol className={classes.list}>
          {earlier.map((call) => (
            <li key={call.id} className={classes.call}>
              <div className={classes.head}>
                <Link href={`/calls/${call.id}`} className={classes.when}>
                  {startedAt(call.started_at, now)}
                </Link>
                <span className={classes.chips}>
                  <CallChips call={call} />
                </span>
              </div>
              <p className={classes.summary} dir="auto">
                {call.summary ?? 'No summary'}
              </p>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
