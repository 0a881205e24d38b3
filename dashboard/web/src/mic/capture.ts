/** The browser's microphone as frames of PCM. */

import workletUrl from './capture.worklet.ts?worker&url';

export interface Capture {
  sampleRateHz: number;
  /** 0..1, of this moment. */
  level: () => number;
  /** Hands on the last frame, then lets the microphone go. */
  stop: () => Promise<void>;
}

export type CaptureProblem = 'insecure' | 'denied' | 'no-device' | 'busy' | 'unsupported' | 'unplugged';

export class CaptureError extends Error {
  readonly problem: CaptureProblem;

  constructor(problem: CaptureProblem, cause?: unknown) {
    super(problem, { cause });
    this.name = 'CaptureError';
    this.problem = problem;
  }
}

const FLUSH_WAIT_MS = 500;

export async function startCapture(
  onFrame: (pcm: ArrayBuffer) => void,
  onUnplugged: () => void,
): Promise<Capture> {
  if (!window.isSecureContext) throw new CaptureError('insecure');
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode)
    throw new CaptureError('unsupported');
  const stream = await openMicrophone();
  const context = new AudioContext({ latencyHint: 'interactive' });
  try {
    await context.audioWorklet.addModule(workletUrl);
    await context.resume();
  } catch (error) {
    for (const track of stream.getTracks()) track.stop();
    await context.close();
    throw new CaptureError('unsupported', error);
  }

  const source = context.createMediaStreamSource(stream);
  const analyser = new AnalyserNode(context, { fftSize: 512 });
  const recorder = new AudioWorkletNode(context, 'hearline-capture', {
    channelCount: 1,
    channelCountMode: 'explicit',
    outputChannelCount: [1],
  });
  let flushed = () => {};
  recorder.port.onmessage = (message: MessageEvent<ArrayBuffer | 'flushed'>) => {
    if (message.data === 'flushed') flushed();
    else onFrame(message.data);
  };
  // The recorder writes silence; it is connected on because unconnected nodes are not run.
  source.connect(analyser).connect(recorder).connect(context.destination);
  const [microphone] = stream.getAudioTracks();
  microphone?.addEventListener('ended', onUnplugged);

  const samples = new Float32Array(analyser.fftSize);
  return {
    sampleRateHz: context.sampleRate,
    level: () => {
      analyser.getFloatTimeDomainData(samples);
      return loudness(samples);
    },
    stop: async () => {
      microphone?.removeEventListener('ended', onUnplugged);
      for (const track of stream.getTracks()) track.stop();
      await new Promise<void>((resolve) => {
        flushed = resolve;
        setTimeout(resolve, FLUSH_WAIT_MS);
        recorder.port.postMessage('flush');
      });
      await context.close();
    },
  };
}

async function openMicrophone(): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw new CaptureError(problemOf(error), error);
  }
}

function problemOf(error: unknown): CaptureProblem {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'no-device';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'unsupported';
  }
}

const FLOOR_DB = -60;

/** Root mean square on a scale from -60 dB (0) to full (1): near to how loud it seems. */
function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const db = 10 * Math.log10(power + 1e-12);
  return Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
}
