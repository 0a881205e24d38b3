const FIRST_MS = 500;
const MOST_MS = 15_000;

/** How long to wait before try number `attempt` (1, 2, ...): doubling, with jitter so that screens do not come back all at once. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(MOST_MS, FIRST_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (random() * ceiling) / 2;
}
