import { Button, Select, TextInput } from '@mantine/core';
import { IconFileUpload } from '@tabler/icons-react';
import { useId, useRef, useState } from 'react';
import type { ImportOptions, ImportParties } from '../../api/types';
import classes from './ImportForm.module.css';
import { bytes } from './state';
import { useFileDrop } from './useFileDrop';

const PARTIES: { value: ImportParties; label: string }[] = [
  { value: 'auto', label: 'Automatic' },
  { value: 'mixed', label: 'Several people, mixed' },
  { value: 'one', label: 'One person alone' },
];

const ABOUT: Record<ImportParties, string> = {
  auto: 'Stereo: one party on each channel. Mono: several people, told apart by their voices.',
  two: 'One party on each channel.',
  mixed: 'Also stereo is heard as one, and the voices are told apart.',
  one: 'All words belong to one person.',
};

interface ImportFormProps {
  /** The largest file, null until that is known. */
  maxBytes: number | null;
  onFiles: (files: readonly File[], options: ImportOptions) => void;
}

/** Takes files, chosen or dropped anywhere on the page, and what there is to say of them. */
export function ImportForm({ maxBytes, onFiles }: ImportFormProps) {
  const [parties, setParties] = useState<ImportParties>('auto');
  const [left, setLeft] = useState<ImportOptions['left']>('customer');
  const input = useRef<HTMLInputElement>(null);
  const note = useId();
  const [number, setNumber] = useState('');
  const [began, setBegan] = useState('');
  const take = (files: readonly File[]) => {
    if (files.length === 0) return;
    const from_number = number.trim();
    onFiles(files, {
      parties,
      left,
      ...(from_number && { from_number }),
      ...(began && { started_at: new Date(began).toISOString() }),
    });
    // Those of one call are not those of the next.
    setNumber('');
    setBegan('');
  };
  const over = useFileDrop(take);
  return (
    <div className={classes.root} data-over={over} data-testid="import-form">
      <div className={classes.drop}>
        <span className={classes.icon}>
          <IconFileUpload size={24} stroke={1.6} aria-hidden />
        </span>
        <p className={classes.title}>{over ? 'Drop to import' : 'Add recordings'}</p>
        <p className={classes.note} id={note}>
          <span className={classes.dropping}>Drop them anywhere on this page, or choose them. </span>
          WAV, MP3, M4A, FLAC, Ogg, WebM, MP4 and more
          {maxBytes !== null && `, up to ${bytes(maxBytes).replace('.0 ', ' ')} each`}.
        </p>
        <Button aria-describedby={note} onClick={() => input.current?.click()} data-testid="import-choose">
          Choose files
        </Button>
        <input
          ref={input}
          type="file"
          multiple
          hidden
          accept="audio/*,video/*,.w64,.opus,.amr,.caf,.mka,.mkv"
          data-testid="import-input"
          onChange={({ currentTarget }) => {
            take([...(currentTarget.files ?? [])]);
            currentTarget.value = ''; // the same file may be chosen again
          }}
        />
      </div>
      <fieldset className={classes.options}>
        <legend className={classes.legend}>For the files you add next</legend>
        <Select
          label="Who is heard"
          description={ABOUT[parties]}
          allowDeselect={false}
          data={PARTIES}
          value={parties}
          data-testid="import-parties"
          onChange={(chosen) => setParties((chosen ?? 'auto') as ImportParties)}
        />
        {parties !== 'mixed' && (
          <Select
            label={parties === 'one' ? 'That person is' : 'The left channel is'}
            allowDeselect={false}
            data={[
              { value: 'customer', label: 'The customer' },
              { value: 'agent', label: 'The agent' },
            ]}
            value={left}
            data-testid="import-left"
            onChange={(chosen) => setLeft(chosen === 'agent' ? 'agent' : 'customer')}
          />
        )}
        <TextInput
          label="The caller's number"
          placeholder="As far as it is known"
          type="tel"
          maxLength={200}
          value={number}
          data-testid="import-number"
          onChange={({ currentTarget }) => setNumber(currentTarget.value)}
        />
        <TextInput
          label="When the call began"
          description="Without it, what the file says"
          type="datetime-local"
          max="2199-12-31T23:59"
          min="1970-01-02T00:00"
          value={began}
          data-testid="import-began"
          onChange={({ currentTarget }) => setBegan(currentTarget.value)}
        />
      </fieldset>
    </div>
  );
}
