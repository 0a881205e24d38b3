/** Opening the microphone, and what can be in the way. */

export type CaptureProblem = 'insecure' | 'denied' | 'no-device' | 'busy' | 'unsupported' | 'unplugged';

export class CaptureError extends Error {
  readonly problem: CaptureProblem;

  constructor(problem: CaptureProblem, cause?: unknown) {
    super(problem, { cause });
    this.name = 'CaptureError';
    this.problem = problem;
  }
}

const VOICE: MediaTrackConstraints = {
  channelCount: 1,
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

/** The chosen microphone, or the system's where none is chosen or the chosen one is gone. Throws CaptureError. */
export async function openMicrophone(deviceId: string | null = null): Promise<MediaStream> {
  if (!window.isSecureContext) throw new CaptureError('insecure');
  if (!navigator.mediaDevices?.getUserMedia) throw new CaptureError('unsupported');
  if (deviceId !== null) {
    try {
      return await ask({ ...VOICE, deviceId: { exact: deviceId } });
    } catch (error) {
      if (!(error instanceof CaptureError) || error.problem !== 'no-device') throw error;
    }
  }
  return await ask(VOICE);
}

async function ask(audio: MediaTrackConstraints): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
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

export function stopStream(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
