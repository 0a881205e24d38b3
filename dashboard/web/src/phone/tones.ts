/** Tones made here: the ring and the test tone. */

const RING_EVERY_MS = 3_000;
/** Start and length in seconds, and Hertz: two soft double chimes. */
const RING = [
  { at: 0, for: 0.35, hz: 659.3 },
  { at: 0.18, for: 0.45, hz: 880 },
  { at: 0.8, for: 0.35, hz: 659.3 },
  { at: 0.98, for: 0.45, hz: 880 },
] as const;
const TEST = [
  { at: 0, for: 0.3, hz: 523.3 },
  { at: 0.25, for: 0.3, hz: 659.3 },
  { at: 0.5, for: 0.6, hz: 784 },
] as const;
const TEST_FOR_MS = 1_400;
const LOUD = 0.16;
const ATTACK_S = 0.015;

interface Note {
  at: number;
  for: number;
  hz: number;
}

/** Rings until the returned function is called. A page that was never touched is silent until it is. */
export function startRinging(speakerId: string | null): () => void {
  const context = openContext(speakerId);
  if (!context) return () => {};
  const ring = () => play(context, RING);
  const timer = setInterval(ring, RING_EVERY_MS);
  const resume = () => {
    if (context.state !== 'running') context.resume().then(ring, () => {});
  };
  resume();
  window.addEventListener('pointerdown', resume, true);
  window.addEventListener('keydown', resume, true);
  return () => {
    clearInterval(timer);
    window.removeEventListener('pointerdown', resume, true);
    window.removeEventListener('keydown', resume, true);
    void context.close();
  };
}

/** Resolves when it has been heard. */
export async function playTestTone(speakerId: string | null): Promise<void> {
  const context = openContext(speakerId);
  if (!context) return;
  await context.resume();
  play(context, TEST);
  await new Promise((resolve) => setTimeout(resolve, TEST_FOR_MS));
  await context.close();
}

function openContext(speakerId: string | null): AudioContext | null {
  if (!window.AudioContext) return null;
  const context = new AudioContext();
  if (speakerId !== null && 'setSinkId' in context) {
    // A loudspeaker that is gone: the system's takes its place.
    (context as SinkContext).setSinkId(speakerId).catch(() => {});
  }
  return context;
}

type SinkContext = AudioContext & { setSinkId: (id: string) => Promise<void> };

function play(context: AudioContext, notes: readonly Note[]): void {
  // What was to be heard while the browser kept it silent is not made up for later.
  if (context.state !== 'running') return;
  const now = context.currentTime + 0.02;
  for (const { at, for: length, hz } of notes) {
    const tone = new OscillatorNode(context, { type: 'sine', frequency: hz });
    const shape = new GainNode(context, { gain: 0 });
    shape.gain.setValueAtTime(0, now + at);
    shape.gain.linearRampToValueAtTime(LOUD, now + at + ATTACK_S);
    shape.gain.exponentialRampToValueAtTime(0.0005, now + at + length);
    tone.connect(shape).connect(context.destination);
    tone.start(now + at);
    tone.stop(now + at + length);
  }
}
