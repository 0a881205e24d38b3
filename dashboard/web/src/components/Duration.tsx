import type { CallFacts } from '../api/types';
import { useServerNow } from '../clock';
import { clock } from '../format';

/** How long the call has lasted: ticking while it is live, by the server's clock. */
export function Duration({ call }: { call: CallFacts }) {
  return call.status === 'live' ? (
    <Running startedAt={call.started_at} />
  ) : (
    <span className="numeric">{call.duration_ms === null ? '–' : clock(call.duration_ms)}</span>
  );
}

function Running({ startedAt }: { startedAt: string }) {
  const now = useServerNow();
  const began = Date.parse(startedAt);
  return <span className="numeric">{clock(Number.isNaN(began) ? 0 : now - began)}</span>;
}
