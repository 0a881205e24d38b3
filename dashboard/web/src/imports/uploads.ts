/** The files that this page sends: one after the other, on every page of the screen, from where an earlier try stopped. */

import { api, ProblemError } from '../api/client';
import type { ImportOptions, ImportView } from '../api/types';
import { Sha256 } from './sha256';

const PIECE_BYTES = 512 * 1024;
const READ_BYTES = 2 * 1024 * 1024;
const AGAIN_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];

export type UploadPhase = 'queued' | 'reading' | 'sending' | 'sent' | 'failed';

export interface Upload {
  readonly key: number;
  readonly name: string;
  readonly size: number;
  readonly phase: UploadPhase;
  /** How much is read or sent, in bytes. */
  readonly done: number;
  /** The import that it is, once the server knows of it. */
  readonly importId: string | null;
  /** It was brought in before: that is shown instead. */
  readonly known: boolean;
  /** Why it failed, for people. */
  readonly problem: string | null;
}

/** How an upload begins. */
const NEXT = { phase: 'queued', done: 0, importId: null, known: false, problem: null } as const;

/** What the uploads need of the server. */
export interface ImportServer {
  addImport: (fields: object, signal: AbortSignal) => Promise<ImportView>;
  sendPiece: (id: string, offset: number, piece: Blob, signal: AbortSignal) => Promise<ImportView>;
  getImport: (id: string, signal: AbortSignal) => Promise<ImportView>;
}

interface Job {
  readonly file: File;
  options: ImportOptions;
  readonly stop: AbortController;
  upload: Upload;
}

export class Uploads {
  readonly #server: ImportServer;
  readonly #sleep: (ms: number) => Promise<void>;
  readonly #listeners = new Set<() => void>();
  readonly #jobs = new Map<number, Job>();
  #shown: readonly Upload[] = [];
  #next = 1;
  #busy = false;

  constructor(
    server: ImportServer,
    sleep: (ms: number) => Promise<void> = (ms) => new Promise((done) => setTimeout(done, ms)),
  ) {
    this.#server = server;
    this.#sleep = sleep;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): readonly Upload[] => this.#shown;

  get active(): boolean {
    return this.#shown.some(({ phase }) => phase !== 'sent' && phase !== 'failed');
  }

  add(files: readonly File[], options: ImportOptions): void {
    for (const file of files) {
      const key = this.#next;
      this.#next += 1;
      const { name, size } = file;
      const upload: Upload = { key, name, size, ...NEXT };
      this.#jobs.set(key, { file, options, stop: new AbortController(), upload });
    }
    this.#tell();
    void this.#run();
  }

  /** Brings in what was brought in before once more, as a call of its own. */
  again(key: number): void {
    const job = this.#jobs.get(key);
    if (!job?.upload.known) return;
    job.options = { ...job.options, again: true };
    this.#put(job, NEXT);
    void this.#run();
  }

  /** Takes an upload off the list, and stops it where it is under way. */
  drop(key: number): void {
    this.#jobs.get(key)?.stop.abort();
    this.#jobs.delete(key);
    this.#tell();
  }

  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let job = this.#queued(); job; job = this.#queued()) {
      try {
        await this.#carryOut(job);
      } catch (error) {
        if (!job.stop.signal.aborted) this.#put(job, { phase: 'failed', problem: problemOf(error) });
      }
    }
    this.#busy = false;
  }

  #queued(): Job | undefined {
    return [...this.#jobs.values()].find(({ upload }) => upload.phase === 'queued');
  }

  async #carryOut(job: Job): Promise<void> {
    const { file, options, stop } = job;
    if (file.size === 0) throw new Refusal('is empty');
    this.#put(job, { phase: 'reading', done: 0 });
    const sha256 = await this.#digest(job);
    const fields = {
      ...options,
      name: file.name,
      size_bytes: file.size,
      sha256,
      modified_at: new Date(file.lastModified).toISOString(),
    };
    let known = await this.#ask(job, () => this.#server.addImport(fields, stop.signal));
    this.#put(job, {
      phase: 'sending',
      importId: known.id,
      done: known.received_bytes,
      known: !known.is_new && known.status !== 'uploading',
    });
    while (known.status === 'uploading') {
      const at = known.received_bytes;
      const piece = file.slice(at, at + PIECE_BYTES);
      known = await this.#ask(job, () => this.#sendPiece(known.id, at, piece, stop.signal));
      this.#put(job, { done: known.received_bytes });
    }
    this.#put(job, { phase: 'sent', done: file.size });
  }

  /** A piece that was there already, because an answer was lost on its way, is no failure. */
  async #sendPiece(id: string, at: number, piece: Blob, signal: AbortSignal): Promise<ImportView> {
    try {
      return await this.#server.sendPiece(id, at, piece, signal);
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status !== 409) throw error;
      const now = await this.#server.getImport(id, signal);
      if (now.status === 'uploading' && now.received_bytes === at) throw error;
      return now;
    }
  }

  async #digest(job: Job): Promise<string> {
    const sha = new Sha256();
    for (let at = 0; at < job.file.size; at += READ_BYTES) {
      job.stop.signal.throwIfAborted();
      const piece = await job.file.slice(at, at + READ_BYTES).arrayBuffer();
      sha.update(new Uint8Array(piece));
      this.#put(job, { done: Math.min(job.file.size, at + READ_BYTES) });
    }
    return sha.hex();
  }

  /** Asks again while the server does not answer; what it refuses, it refuses. */
  async #ask<T>(job: Job, request: () => Promise<T>): Promise<T> {
    for (const pause of AGAIN_MS) {
      try {
        return await request();
      } catch (error) {
        job.stop.signal.throwIfAborted();
        if (error instanceof ProblemError && error.status < 500 && error.status !== 408) throw error;
        if (error instanceof ProblemError && error.status === 507) throw error;
        await this.#sleep(pause);
      }
    }
    return request();
  }

  #put(job: Job, change: Partial<Upload>): void {
    if (job.stop.signal.aborted) return;
    job.upload = { ...job.upload, ...change };
    this.#tell();
  }

  #tell(): void {
    this.#shown = Array.from(this.#jobs.values(), ({ upload }) => upload);
    for (const listener of this.#listeners) listener();
  }
}

class Refusal extends Error {}

function problemOf(error: unknown): string {
  if (error instanceof ProblemError) return error.detail || error.message;
  if (error instanceof Refusal) return error.message;
  if (error instanceof DOMException) return 'cannot be read any more: it was changed, moved or removed';
  return 'the server does not answer; choose the file again to go on';
}

export const uploads = new Uploads(api);

// What is being sent stops with the page; it can be gone on with, but not without its file.
globalThis.window?.addEventListener('beforeunload', (event) => {
  if (uploads.active) event.preventDefault();
});
