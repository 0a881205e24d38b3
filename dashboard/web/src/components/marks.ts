/** Icons, words and colours for the vocabulary: one place, so that a role looks the same everywhere. */

import {
  type Icon,
  IconAlertCircle,
  IconAlertOctagon,
  IconAlertTriangle,
  IconArrowDown,
  IconArrowUp,
  IconDeviceLandlinePhone,
  IconEqual,
  IconFileMusic,
  IconHeadset,
  IconInfoCircle,
  IconMicrophone,
  IconMoodConfuzed,
  IconMoodNeutral,
  IconMoodSad,
  IconMoodSmile,
  IconPhone,
  IconPhoneCall,
  IconPlugConnected,
  IconRecordMail,
  IconUser,
  IconUserQuestion,
  IconUserShield,
  IconWorld,
} from '@tabler/icons-react';
import type { Role, SentimentLabel, Severity } from '../api/types';
import { words } from '../format';

export interface Mark {
  icon: Icon;
  word: string;
}

const SERVICES: Record<string, string> = {
  asr: 'Recogniser',
  insights: 'Analysis',
  llm: 'Language model',
  postgres: 'PostgreSQL',
  postgresql: 'PostgreSQL',
};

export function serviceName(name: string): string {
  return SERVICES[name.toLowerCase()] ?? words(name);
}

/** A tone names a pair of colours in tokens.css: `--hl-<tone>` and `--hl-<tone>-soft`. */
export type Tone = 'good' | 'warn' | 'bad' | 'unknown' | 'accent' | Role;

const DOORS: Record<string, Mark> = {
  twilio: { icon: IconPhoneCall, word: 'Twilio' },
  sip: { icon: IconDeviceLandlinePhone, word: 'SIP' },
  siprec: { icon: IconRecordMail, word: 'SIPREC' },
  webrtc: { icon: IconWorld, word: 'WebRTC' },
  browser: { icon: IconMicrophone, word: 'Browser' },
  microphone: { icon: IconMicrophone, word: 'Microphone' },
  websocket: { icon: IconPlugConnected, word: 'WebSocket' },
  file: { icon: IconFileMusic, word: 'File' },
};

export function doorMark(door: string): Mark {
  return DOORS[door] ?? { icon: IconPhone, word: words(door) };
}

export const ROLE_MARKS: Record<Role, Mark> = {
  customer: { icon: IconUser, word: 'Customer' },
  agent: { icon: IconHeadset, word: 'Agent' },
  supervisor: { icon: IconUserShield, word: 'Supervisor' },
  unknown: { icon: IconUserQuestion, word: 'Speaker' },
};

export const SENTIMENT_MARKS: Record<SentimentLabel, Mark & { tone: Tone }> = {
  positive: { icon: IconMoodSmile, word: 'Positive', tone: 'good' },
  neutral: { icon: IconMoodNeutral, word: 'Neutral', tone: 'unknown' },
  negative: { icon: IconMoodSad, word: 'Negative', tone: 'bad' },
  mixed: { icon: IconMoodConfuzed, word: 'Mixed', tone: 'warn' },
};

export const SEVERITY_MARKS: Record<Severity, Mark & { tone: Tone }> = {
  low: { icon: IconInfoCircle, word: 'Low', tone: 'unknown' },
  medium: { icon: IconAlertCircle, word: 'Medium', tone: 'warn' },
  high: { icon: IconAlertTriangle, word: 'High', tone: 'bad' },
  critical: { icon: IconAlertOctagon, word: 'Critical', tone: 'bad' },
};

export const PRIORITY_MARKS: Record<'low' | 'medium' | 'high', Mark & { tone: Tone }> = {
  low: { icon: IconArrowDown, word: 'Low', tone: 'unknown' },
  medium: { icon: IconEqual, word: 'Medium', tone: 'unknown' },
  high: { icon: IconArrowUp, word: 'High', tone: 'bad' },
};
