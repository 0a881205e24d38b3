import type { ImportView } from '../../api/types';
import { capital, clock, percent } from '../../format';
import type { Upload } from '../../imports/uploads';
import type { Tone } from '../marks';

/** How one recording stands, from both sides: what this page sends, and what the server makes of it. */
export interface ImportRow {
  readonly key: string;
  readonly name: string;
  readonly size: number;
  /** One word for tests and styles. */
  readonly phase: 'queued' | 'reading' | 'sending' | 'stopped' | ImportView['status'];
  readonly word: string;
  readonly tone: Tone;
  /** From 0 to 1; null: nothing is under way. */
  readonly share: number | null;
  /** What there is to say beside the word. */
  readonly detail: string;
  readonly callId: string | null;
  readonly createdAt: string | null;
  readonly importId: string | null;
  readonly upload: Upload | null;
}

/**
 * What this page sends comes first; everything else as the server lists it. `yields`: calls are live, and what is
 * imported waits for their pauses.
 */
export function rowsOf(
  uploads: readonly Upload[],
  imports: readonly ImportView[],
  yields = false,
): ImportRow[] {
  const known = new Map(imports.map((one) => [one.id, one]));
  const sending = uploads.filter(({ phase, importId, known: before }) => {
    const status = known.get(importId ?? '')?.status ?? 'uploading';
    return phase !== 'sent' || before || status === 'uploading';
  });
  const shown = new Set(sending.map(({ importId }) => importId));
  return [
    ...sending.map((upload) => uploadRow(upload, known.get(upload.importId ?? ''))),
    ...imports.filter(({ id }) => !shown.has(id)).map((one) => importRow(one, yields)),
  ];
}

/** Whether its file is at hand and its call is there already. */
export const canComeAgain = ({ phase, upload }: ImportRow) => phase === 'done' && upload?.known === true;

export function isUnderWay({ phase }: ImportRow): boolean {
  return ['queued', 'reading', 'sending', 'waiting', 'running'].includes(phase);
}

function uploadRow(upload: Upload, found: ImportView | undefined): ImportRow {
  const { key, name, size, done, phase, problem, importId } = upload;
  const base = {
    key: `upload-${key}`,
    name,
    size,
    callId: null,
    createdAt: null,
    importId,
    upload,
    share: null,
    detail: '',
    tone: 'unknown' as Tone,
  };
  const share = size > 0 ? done / size : 0;
  switch (phase) {
    case 'queued':
      return { ...base, phase, word: 'Next', detail: 'Sent after the file before it' };
    case 'reading':
      return { ...base, phase, word: 'Reading', share, tone: 'accent', detail: percent(share) };
    case 'sending':
      return {
        ...base,
        phase,
        word: 'Sending',
        share,
        tone: 'accent',
        detail: `${bytes(done)} of ${bytes(size)}`,
      };
    case 'sent':
      if (upload.known && found) {
        return {
          ...importRow(found, false),
          key: base.key,
          name,
          upload,
          word: 'Imported before',
          tone: 'unknown',
        };
      }
      return { ...base, phase: 'waiting', word: 'Sent' };
    case 'failed':
      return { ...base, phase, word: 'Not imported', tone: 'bad', detail: sentence(problem) };
  }
}

function importRow(one: ImportView, yields: boolean): ImportRow {
  const { id, name, size_bytes, received_bytes, status, duration_ms, transcribed_ms, problem, call_id } = one;
  const base = {
    key: id,
    name,
    size: size_bytes,
    callId: call_id,
    createdAt: one.created_at,
    importId: id,
    upload: null,
    share: null,
    detail: '',
    tone: 'unknown' as Tone,
  };
  const waits = yields ? ', in the pauses of live calls' : '';
  switch (status) {
    case 'uploading':
      return {
        ...base,
        phase: 'stopped',
        word: 'Upload stopped',
        tone: 'warn',
        share: received_bytes / size_bytes,
        detail: `${bytes(received_bytes)} of ${bytes(size_bytes)} arrived. Choose the file again to go on.`,
      };
    case 'waiting':
      return { ...base, phase: status, word: 'Waiting', detail: 'Its turn comes after others' };
    case 'running': {
      if (call_id === null) return { ...base, phase: status, word: 'Opening', tone: 'accent' };
      if (duration_ms === null) {
        return {
          ...base,
          phase: status,
          word: 'Transcribing',
          tone: 'accent',
          detail: `at ${clock(transcribed_ms)}${waits}`,
        };
      }
      const share = duration_ms > 0 ? Math.min(1, transcribed_ms / duration_ms) : 0;
      const detail = `${clock(transcribed_ms)} of ${clock(duration_ms)}${waits}`;
      return { ...base, phase: status, word: 'Transcribing', tone: 'accent', share, detail };
    }
    case 'done':
      return {
        ...base,
        phase: status,
        word: 'Imported',
        tone: problem ? 'warn' : 'good',
        detail: problem ? sentence(problem) : clock(duration_ms ?? 0),
      };
    case 'failed':
      return { ...base, phase: status, word: 'Not imported', tone: 'bad', detail: sentence(problem) };
    case 'cancelled':
      return {
        ...base,
        phase: status,
        word: 'Cancelled',
        detail: call_id ? 'What was transcribed by then is kept.' : '',
      };
  }
}

/** `is no recording` -> `The file is no recording.` What is told of the server stays as it is. */
function sentence(problem: string | null): string {
  if (!problem) return '';
  const about = /^(is|has|breaks|did|could|cannot)\b/.test(problem)
    ? `The file ${problem}`
    : capital(problem);
  return /[.!?]$/.test(about) ? about : `${about}.`;
}

const UNITS = ['B', 'KB', 'MB', 'GB'];

/** `4.2 MB`; thousands, as file managers count. */
export function bytes(count: number): string {
  const power = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}
