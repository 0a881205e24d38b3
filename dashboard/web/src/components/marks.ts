/** Icons, words and colours for the vocabulary: one place, so that a role looks the same everywhere. */

import {
  type Icon,
  IconAlertCircle,
  IconAlertOctagon,
  IconAlertTriangle,
  IconArrowDown,
  IconArrowUp,
  IconBellRinging,
  IconDeviceLandlinePhone,
  IconEqual,
  IconFileMusic,
  IconHeadset,
  IconHourglassHigh,
  IconInfoCircle,
  IconMessages,
  IconMicrophone,
  IconMoodConfuzed,
  IconMoodNeutral,
  IconMoodSad,
  IconMoodSmile,
  IconPhone,
  IconPhoneCall,
  IconPhoneCalling,
  IconPhoneIncoming,
  IconPlayerPause,
  IconPlugConnected,
  IconRecordMail,
  IconUser,
  IconUserQuestion,
  IconUserShield,
  IconUsers,
  IconWorld,
} from '@tabler/icons-react';
import type { CallbackKind, Role, SentimentLabel, Severity, Stage } from '../api/types';
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
  jambonz: { icon: IconPlugConnected, word: 'jambonz' },
  freeswitch: { icon: IconPlugConnected, word: 'FreeSWITCH' },
  asterisk: { icon: IconPlugConnected, word: 'Asterisk' },
  audiosocket: { icon: IconPlugConnected, word: 'AudioSocket' },
  audiohook: { icon: IconPlugConnected, word: 'AudioHook' },
  vonage: { icon: IconPhoneCall, word: 'Vonage' },
  telnyx: { icon: IconPhoneCall, word: 'Telnyx' },
  plivo: { icon: IconPhoneCall, word: 'Plivo' },
  signalwire: { icon: IconPhoneCall, word: 'SignalWire' },
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

const STAGE_MARKS: Record<Stage, Mark & { tone: Tone }> = {
  queued: { icon: IconHourglassHigh, word: 'Waiting', tone: 'warn' },
  ringing: { icon: IconBellRinging, word: 'Ringing', tone: 'accent' },
  talking: { icon: IconMessages, word: 'Talking', tone: 'good' },
  held: { icon: IconPlayerPause, word: 'On hold', tone: 'warn' },
  consulting: { icon: IconUsers, word: 'Consulting', tone: 'accent' },
  voicemail: { icon: IconRecordMail, word: 'Voicemail', tone: 'unknown' },
  callback: { icon: IconPhoneCalling, word: 'Call-back', tone: 'unknown' },
  returning: { icon: IconPhoneIncoming, word: 'Coming back', tone: 'warn' },
};

/** A stage that a newer server tells is shown by its own word. */
export function stageMark(stage: string): Mark & { tone: Tone } {
  return STAGE_MARKS[stage as Stage] ?? { icon: IconPhone, word: words(stage), tone: 'unknown' };
}

export const CALLBACK_MARKS: Record<CallbackKind, Mark> = {
  callback: { icon: IconPhoneCalling, word: 'Call-back' },
  voicemail: { icon: IconRecordMail, word: 'Voicemail' },
};
