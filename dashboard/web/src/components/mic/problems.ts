import type { CaptureProblem } from '../../mic/microphone';

/** What is in the way of the microphone, and what to do about it. */
export const MIC_PROBLEMS: Record<CaptureProblem | 'server', { title: string; advice: string }> = {
  denied: {
    title: 'The microphone is blocked',
    advice:
      'This browser does not let Hearline use the microphone. Click the icon left of the address, allow the microphone for this site, then try again.',
  },
  'no-device': {
    title: 'No microphone was found',
    advice: 'Plug in a microphone or a headset, check that the system sees it, then try again.',
  },
  busy: {
    title: 'The microphone is in use',
    advice: 'Another program holds it. Close that program, then try again.',
  },
  insecure: {
    title: 'The microphone needs a secure address',
    advice:
      'Browsers give the microphone only to https:// pages and to localhost. Open the dashboard by one of these, then try again.',
  },
  unsupported: {
    title: 'This browser cannot record',
    advice: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  },
  unplugged: {
    title: 'The microphone went away',
    advice: 'It was unplugged or its permission was taken back. What was said until then is kept.',
  },
  server: { title: 'The recording stopped', advice: 'The server did not go on with the recording.' },
};
