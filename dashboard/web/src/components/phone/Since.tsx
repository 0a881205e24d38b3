import { useServerNow } from '../../clock';
import { clock } from '../../format';

/** How long something has lasted, ticking; nothing where it is not known since when. */
export function Since({ at, testId }: { at: string | null; testId?: string }) {
  const now = useServerNow();
  const began = at === null ? Number.NaN : Date.parse(at);
  if (Number.isNaN(began)) return null;
  return (
    <span className="numeric" data-testid={testId}>
      {clock(now - began)}
    </span>
  );
}
