import { expect, it } from 'vitest';
import { Framer } from '../src/mic/framer';

it('cuts any stream into frames of one length and keeps every sample', () => {
  const framer = new Framer(8_820);
  const samples = Float32Array.from({ length: 20_000 }, (_, i) => Math.sin(i / 50) * 0.8);
  const frames = [];
  for (let at = 0; at < samples.length; at += 128)
    frames.push(...framer.push(samples.subarray(at, at + 128)));
  const rest = framer.flush();
  expect(frames.map((frame) => frame.length)).toEqual([8_820, 8_820]);
  expect(rest).toHaveLength(20_000 - 2 * 8_820);
  const back = [...frames, rest ?? []].flatMap((frame) => [...frame]);
  expect(Math.max(...back.map((value, i) => Math.abs(value / 32_767 - (samples[i] ?? 0))))).toBeLessThan(
    1e-4,
  );
});

it('clips what is too loud', () => {
  const [frame] = new Framer(4).push(Float32Array.of(2, -2, 1, -1));
  expect([...(frame ?? [])]).toEqual([32_767, -32_768, 32_767, -32_768]);
});

it('has nothing to flush when nothing waits', () => {
  const framer = new Framer(2);
  framer.push(Float32Array.of(0.5, 0.5));
  expect(framer.flush()).toBeNull();
});
