/** How well a call's packets get through, from the browser's statistics and the server's. */

import type { NetworkFigures } from './phone';

export type Grade = 'good' | 'fair' | 'poor';

/** Packets since the connection began. */
export interface Counted {
  received: number;
  lost: number;
}

export interface Heard {
  figures: NetworkFigures;
  counted: Counted;
}

/** Beyond these a call is no longer good, no longer fair. Round trip and jitter in milliseconds, loss in percent. */
const LIMITS: Record<keyof NetworkFigures, readonly [number, number]> = {
  loss_pct: [1, 5],
  jitter_ms: [30, 80],
  rtt_ms: [250, 500],
};

const GRADES: readonly Grade[] = ['good', 'fair', 'poor'];

/** What this browser hears of the other side; loss since `before`. Null where nothing has arrived yet. */
export function readStats(report: RTCStatsReport, before: Counted | null): Heard | null {
  let inbound: RTCInboundRtpStreamStats | undefined;
  let rtt_ms: number | null = null;
  report.forEach((stats: RTCStats) => {
    if (stats.type === 'inbound-rtp') inbound = stats as RTCInboundRtpStreamStats;
    if (stats.type === 'candidate-pair') {
      const pair = stats as RTCIceCandidatePairStats;
      if (pair.nominated && pair.currentRoundTripTime !== undefined)
        rtt_ms = pair.currentRoundTripTime * 1000;
    }
  });
  if (!inbound) return null;
  const counted = { received: inbound.packetsReceived ?? 0, lost: inbound.packetsLost ?? 0 };
  // Counting starts again with each new connection.
  const since = before && before.received <= counted.received ? before : { received: 0, lost: 0 };
  const lost = Math.max(0, counted.lost - since.lost);
  const sent = counted.received - since.received + lost;
  return {
    counted,
    figures: {
      loss_pct: sent > 0 ? (100 * lost) / sent : 0,
      jitter_ms: (inbound.jitter ?? 0) * 1000,
      rtt_ms,
    },
  };
}

/** The worst of what is known of both ways; null when nothing is. */
export function gradeOf(ways: readonly (NetworkFigures | null)[]): Grade | null {
  const known = ways.filter((figures) => figures !== null);
  if (known.length === 0) return null;
  const worst = known.reduce((most, figures) => Math.max(most, levelOf(figures)), 0);
  return GRADES[worst] ?? 'poor';
}

function levelOf(figures: NetworkFigures): number {
  return Object.entries(LIMITS).reduce((most, [name, [fair, poor]]) => {
    const value = figures[name as keyof NetworkFigures] ?? 0;
    return Math.max(most, value > poor ? 2 : value > fair ? 1 : 0);
  }, 0);
}
