import { useSyncExternalStore } from 'react';

const TICK_MS = 1_000;
const STEADY_WITHIN_MS = 500;

let now = Date.now();
let serverAheadMs = 0;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    now = Date.now();
    timer = setInterval(() => {
      now = Date.now();
      for (const tell of listeners) tell();
    }, TICK_MS);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

/** This machine's clock, ticking each second; all who ask share one timer. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** The server's clock, as far as it is known: what times in calls and events are measured by. */
export function useServerNow(): number {
  return useSyncExternalStore(subscribe, () => now + serverAheadMs);
}

/** Learns from a time that the server said this moment; small differences are the network's and change nothing. */
export function learnServerTime(at: string): void {
  const ahead = Date.parse(at) - Date.now();
  if (Math.abs(ahead - serverAheadMs) > STEADY_WITHIN_MS) serverAheadMs = ahead;
}
