/** Icons, words and colours for the phone's vocabulary. */

import {
  type Icon,
  IconAntennaBars2,
  IconAntennaBars4,
  IconAntennaBars5,
  IconBellRinging,
  IconCircleCheckFilled,
  IconCircleMinus,
  IconCoffee,
  IconEar,
  IconEarScan,
  IconPhoneCall,
  IconUsersPlus,
} from '@tabler/icons-react';
import type { Grade } from '../../phone/network';
import type { AgentStatus, SuperviseMode } from '../../phone/phone';
import type { Mark, Tone } from '../marks';

export const AGENT_MARKS: Record<AgentStatus, Mark & { tone: Tone }> = {
  online: { icon: IconCircleCheckFilled, word: 'Online', tone: 'good' },
  break: { icon: IconCoffee, word: 'Break', tone: 'warn' },
  offline: { icon: IconCircleMinus, word: 'Offline', tone: 'unknown' },
  busy: { icon: IconPhoneCall, word: 'In a call', tone: 'bad' },
  ringing: { icon: IconBellRinging, word: 'Ringing', tone: 'accent' },
};

export const GRADE_MARKS: Record<Grade, Mark & { tone: Tone }> = {
  good: { icon: IconAntennaBars5, word: 'Good', tone: 'good' },
  fair: { icon: IconAntennaBars4, word: 'Fair', tone: 'warn' },
  poor: { icon: IconAntennaBars2, word: 'Poor', tone: 'bad' },
};

interface ModeMark extends Mark {
  icon: Icon;
  /** What one does in it. */
  doing: string;
  /** Who hears one. */
  note: string;
}

export const MODE_MARKS: Record<SuperviseMode, ModeMark> = {
  listen: { icon: IconEar, word: 'Listen', doing: 'Listening', note: 'nobody hears you' },
  whisper: { icon: IconEarScan, word: 'Whisper', doing: 'Whispering', note: 'only the agent hears you' },
  barge: { icon: IconUsersPlus, word: 'Barge in', doing: 'In the call', note: 'everybody hears you' },
};
