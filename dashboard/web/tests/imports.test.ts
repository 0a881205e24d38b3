import { describe, expect, test } from 'vitest';
import type { ImportView } from '../src/api/types';
import { bytes, canComeAgain, isUnderWay, rowsOf } from '../src/components/imports/state';
import type { Upload } from '../src/imports/uploads';

const found = (facts: Partial<ImportView>): ImportView => ({
  id: 'one',
  name: 'call.wav',
  size_bytes: 4_000_000,
  status: 'running',
  received_bytes: 4_000_000,
  parties: 'auto',
  left: 'customer',
  title: null,
  call_id: 'call',
  duration_ms: 300_000,
  transcribed_ms: 75_000,
  problem: null,
  created_by: null,
  created_at: '2026-03-02T09:00:00Z',
  ended_at: null,
  is_new: false,
  ...facts,
});

const upload = (facts: Partial<Upload>): Upload => ({
  key: 1,
  name: 'call.wav',
  size: 4_000_000,
  phase: 'sending',
  done: 1_000_000,
  importId: 'one',
  known: false,
  problem: null,
  ...facts,
});

const only = (uploads: Upload[], imports: ImportView[]) => {
  const rows = rowsOf(uploads, imports);
  expect(rows).toHaveLength(1);
  return rows[0] as (typeof rows)[number];
};

describe('how a recording stands', () => {
  test('while it is sent, by what this page has sent', () => {
    const row = only([upload({})], [found({ status: 'uploading', received_bytes: 500_000, call_id: null })]);
    expect(row).toMatchObject({ word: 'Sending', share: 0.25, detail: '1.0 MB of 4.0 MB', callId: null });
    expect(isUnderWay(row)).toBe(true);
  });

  test('once it is sent, by what the server says', () => {
    const row = only([upload({ phase: 'sent' })], [found({})]);
    expect(row).toMatchObject({ word: 'Transcribing', share: 0.25, detail: '01:15 of 05:00' });
  });

  test('sent, and the server has not listed it yet', () => {
    const sent = upload({ phase: 'sent' });
    expect(only([sent], [])).toMatchObject({ word: 'Sent', phase: 'waiting' });
    const before = found({ status: 'uploading', received_bytes: 500_000 });
    expect(only([sent], [before])).toMatchObject({ word: 'Sent', phase: 'waiting' });
  });

  test('being opened, and without a length of its own', () => {
    expect(only([], [found({ call_id: null, duration_ms: null })])).toMatchObject({ word: 'Opening' });
    const row = only([], [found({ duration_ms: null })]);
    expect(row).toMatchObject({ word: 'Transcribing', share: null, detail: 'at 01:15' });
  });

  test('says that live calls come first, while there are some', () => {
    const running = found({});
    expect(rowsOf([], [running], true)[0]?.detail).toBe('01:15 of 05:00, in the pauses of live calls');
    expect(rowsOf([], [found({ status: 'done' })], true)[0]?.detail).toBe('05:00');
  });

  test('what was brought in before is shown as that, with its call', () => {
    const row = only([upload({ phase: 'sent', known: true })], [found({ status: 'done' })]);
    expect(row).toMatchObject({ word: 'Imported before', callId: 'call' });
    expect(isUnderWay(row)).toBe(false);
    expect(canComeAgain(row)).toBe(true);
    expect(canComeAgain(only([], [found({ status: 'done' })]))).toBe(false);
    expect(canComeAgain(only([upload({ phase: 'sent', known: true })], [found({})]))).toBe(false);
  });

  test('an upload that nobody goes on with asks for its file', () => {
    const row = only([], [found({ status: 'uploading', received_bytes: 1_000_000 })]);
    expect(row).toMatchObject({ word: 'Upload stopped', share: 0.25 });
    expect(row.detail).toContain('Choose the file again');
  });

  test('problems are whole sentences', () => {
    const told = (problem: string, status: ImportView['status'] = 'failed') =>
      only([], [found({ status, problem })]).detail;
    expect(told('is no recording that can be read')).toBe('The file is no recording that can be read.');
    expect(told('breaks off before its end; what it holds is here', 'done')).toBe(
      'The file breaks off before its end; what it holds is here.',
    );
    expect(told('something went wrong here')).toBe('Something went wrong here.');
    expect(only([upload({ phase: 'failed', problem: 'is empty' })], []).detail).toBe('The file is empty.');
  });
});

test('sizes as file managers write them', () => {
  expect([0, 999, 1000, 1_540_000, 12_300_000, 2_000_000_000].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 KB',
    '1.5 MB',
    '12 MB',
    '2.0 GB',
  ]);
});
