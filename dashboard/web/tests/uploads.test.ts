import { describe, expect, test } from 'vitest';
import { ProblemError } from '../src/api/client';
import type { ImportView } from '../src/api/types';
import { type ImportServer, type Upload, Uploads } from '../src/imports/uploads';

const SIZE = 1_200_000;

function view(facts: Partial<ImportView>): ImportView {
  return {
    id: 'one',
    name: 'call.wav',
    size_bytes: SIZE,
    status: 'uploading',
    received_bytes: 0,
    parties: 'auto',
    left: 'customer',
    title: null,
    call_id: null,
    duration_ms: null,
    transcribed_ms: 0,
    problem: null,
    created_by: null,
    created_at: '2026-03-02T09:00:00Z',
    ended_at: null,
    is_new: true,
    ...facts,
  };
}

/** A server that keeps what it gets; `trouble` may throw before or after it has taken a piece. */
class Server implements ImportServer {
  received: number[] = [];
  bytes: number;
  announced: Record<string, unknown>[] = [];
  trouble: (when: 'before' | 'after', piece: number) => void = () => {};

  constructor(bytes = 0) {
    this.bytes = bytes;
  }

  state = (): ImportView =>
    view({ received_bytes: this.bytes, status: this.bytes === SIZE ? 'waiting' : 'uploading' });

  addImport = async (fields: object) => {
    this.announced.push(fields as Record<string, unknown>);
    return this.state();
  };

  sendPiece = async (_id: string, offset: number, piece: Blob) => {
    this.trouble('before', this.received.length);
    if (offset !== this.bytes) throw new ProblemError(409, 'Conflict', `the file goes on at ${this.bytes}`);
    this.received.push(offset);
    this.bytes += piece.size;
    this.trouble('after', this.received.length);
    return this.state();
  };

  getImport = async () => this.state();
}

const file = () => new File([new Uint8Array(SIZE)], 'call.wav');

async function sent(server: ImportServer, files = [file()]): Promise<readonly Upload[]> {
  const uploads = new Uploads(server, async () => {});
  const done = new Promise<void>((over) => {
    uploads.subscribe(() => {
      if (!uploads.active) over();
    });
  });
  uploads.add(files, { parties: 'auto', left: 'agent' });
  await done;
  return uploads.snapshot();
}

describe('uploads', () => {
  test('a file is read, announced and sent in pieces', async () => {
    const server = new Server();
    const [upload] = await sent(server);
    expect(upload).toMatchObject({ phase: 'sent', importId: 'one', done: SIZE, problem: null });
    expect(server.received).toEqual([0, 524_288, 1_048_576]);
    expect(server.announced[0]).toMatchObject({ name: 'call.wav', size_bytes: SIZE, left: 'agent' });
    expect(server.announced[0]?.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test('what is there already is not sent again', async () => {
    const server = new Server(1_048_576);
    await sent(server);
    expect(server.received).toEqual([1_048_576]);
  });

  test('a server that is away for a while, or whose answer is lost, gets every byte once', async () => {
    const server = new Server();
    let failures = 0;
    server.trouble = (when, piece) => {
      if (failures < 3 && (when === 'after' || piece === 1)) {
        failures += 1;
        throw new TypeError('network');
      }
    };
    const [upload] = await sent(server);
    expect(upload?.phase).toBe('sent');
    expect(server.bytes).toBe(SIZE);
    expect(new Set(server.received).size).toBe(server.received.length);
  });

  test('what the server refuses fails with its words, and the next file goes on', async () => {
    const server = new Server();
    const add = server.addImport;
    server.addImport = async (fields) => {
      if (server.announced.length === 0) {
        server.announced.push({});
        throw new ProblemError(413, 'Content Too Large', 'the file is too large');
      }
      return add(fields);
    };
    const [first, second] = await sent(server, [file(), file()]);
    expect(first).toMatchObject({ phase: 'failed', problem: 'the file is too large' });
    expect(second?.phase).toBe('sent');
  });

  test('an empty file is not even announced', async () => {
    const server = new Server();
    const [upload] = await sent(server, [new File([], 'empty.wav')]);
    expect(upload).toMatchObject({ phase: 'failed', problem: 'is empty' });
    expect(server.announced).toEqual([]);
  });

  test('a file that was brought in before is known', async () => {
    const server = new Server();
    server.addImport = async () => view({ status: 'done', call_id: 'c', is_new: false });
    const [upload] = await sent(server);
    expect(upload).toMatchObject({ phase: 'sent', known: true });
    expect(server.received).toEqual([]);
  });

  test('a file that was brought in before is brought in again when somebody asks for it', async () => {
    const server = new Server();
    const add = server.addImport;
    server.addImport = async (fields) =>
      (fields as { again?: boolean }).again
        ? add(fields)
        : view({ status: 'done', call_id: 'c', is_new: false });
    const uploads = new Uploads(server, async () => {});
    const over = () =>
      new Promise<void>((done) => {
        const leave = uploads.subscribe(() => {
          if (uploads.active) return;
          leave();
          done();
        });
      });
    const sending = over();
    uploads.add([file()], { parties: 'auto', left: 'customer', from_number: '+15550123' });
    await sending;
    const again = over();
    uploads.again(uploads.snapshot()[0]?.key ?? 0);
    await again;
    expect(uploads.snapshot()).toMatchObject([{ phase: 'sent', known: false, importId: 'one', done: SIZE }]);
    expect(server.announced).toMatchObject([{ again: true, from_number: '+15550123' }]);
    expect(server.bytes).toBe(SIZE);
  });
});
