/** What the recognisers leave out when words come late, by step; a step does what those before it do, too. */
const OVERLOAD: Record<number, string> = {
  1: 'Words come late: they appear when a sentence is over.',
  2: 'Words come late: a quicker recogniser stands in, its words may be less exact.',
  3: 'The transcript is well behind: telling voices apart and the analysis wait until it has caught up.',
  4: 'The transcript is far behind: all audio is kept, and the words will follow.',
};

/** The words for a step, or for what a heartbeat calls `overload-2`; null for anything else. */
export function overloadWords(step: number | string): string | null {
  const number = typeof step === 'number' ? step : Number(/^overload-(\d+)$/.exec(step)?.[1] ?? 0);
  return number > 0 ? (OVERLOAD[number] ?? 'The transcript is late.') : null;
}
