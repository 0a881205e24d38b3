/** The browser's microphone as frames of PCM. */

import workletUrl from './capture.worklet.ts?worker&url';
import { loudness } from './loudness';
import { CaptureError, openMicrophone, stopStream } from './microphone';

export interface Capture {
  sampleRateHz: number;
  /** 0..1, of this moment. */
  level: () => number;
  /** Hands on the last frame, then lets the microphone go. */
  stop: () => Promise<void>;
}

const FLUSH_WAIT_MS = 500;

export async function startCapture(
  onFrame: (pcm: ArrayBuffer) => void,
  onUnplugged: () => void,
): Promise<Capture> {
  if (window.isSecureContext && !window.AudioWorkletNode) throw new CaptureError('unsupported');
  const stream = await openMicrophone();
  const context = new AudioContext({ latencyHint: 'interactive' });
  try {
    await context.audioWorklet.addModule(workletUrl);
    await context.resume();
  } catch (error) {
    stopStream(stream);
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
      stopStream(stream);
      await new Promise<void>((resolve) => {
        flushed = resolve;
        setTimeout(resolve, FLUSH_WAIT_MS);
        recorder.port.postMessage('flush');
      });
      await context.close();
    },
  };
}
