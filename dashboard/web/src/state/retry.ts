import { ProblemError } from '../api/client';

const AGAIN_MS = 5_000;

/** A `refetchInterval` that asks again while a query fails, except for answers that asking will not change. */
export function againUnless(...statuses: number[]) {
  return (query: { state: { error: Error | null } }): number | false => {
    const { error } = query.state;
    if (!error || (error instanceof ProblemError && statuses.includes(error.status))) return false;
    return AGAIN_MS;
  };
}
