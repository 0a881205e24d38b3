/** The words for what may be chosen of a queue. */

import type { OnTimeout, QueueMode } from '../../api/types';
import type { Greeting } from './draft';

export const MODES: { value: QueueMode | 'setting'; label: string; description: string }[] = [
  {
    value: 'connect',
    label: 'Agents answer here',
    description: 'Callers wait in this queue; agents talk in the browser.',
  },
  {
    value: 'listen',
    label: 'Twilio connects, Hearline listens',
    description: 'Twilio rings the agents; the call is written down only.',
  },
  { value: 'setting', label: 'As the server is set', description: 'Its setting TWILIO_MODE decides.' },
];

export const modeWord = (mode: QueueMode | null) =>
  mode === null ? 'As the server is set' : mode === 'connect' ? 'Agents answer here' : 'Listens only';

export const GREETINGS: { value: Greeting; label: string }[] = [
  { value: 'shipped', label: 'Recorded' },
  { value: 'own', label: 'Own words' },
  { value: 'none', label: 'None' },
];

export const TIMEOUTS: { value: OnTimeout; label: string }[] = [
  { value: 'voicemail', label: 'Take a voicemail' },
  { value: 'callback', label: 'Note a call-back' },
  { value: 'hangup', label: 'Say goodbye and hang up' },
];

export const timeoutWord = (choice: OnTimeout) =>
  ({ voicemail: 'Voicemail', callback: 'Call-back', hangup: 'Hang up' })[choice];
