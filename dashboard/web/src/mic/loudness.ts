const FLOOR_DB = -60;

/** Root mean square on a scale from -60 dB (0) to full (1): near to how loud it seems. */
export function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const db = 10 * Math.log10(power + 1e-12);
  return Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
}
