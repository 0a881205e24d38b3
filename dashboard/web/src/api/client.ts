import type {
  ActionItemStatus,
  Agent,
  Callback,
  CallbackStatus,
  CallPage,
  CallStatus,
  ExportFormat,
  ImportPage,
  ImportView,
  Insight,
  Me,
  Page,
  Peaks,
  Phrase,
  Queue,
  QueueFields,
  Readiness,
  Role,
  Snapshot,
  System,
} from './types';

/** A refused request, as the server's problem JSON (RFC 9457) tells it. */
export class ProblemError extends Error {
  readonly status: number;
  readonly detail: string;
  /** The part of the request that it is about; empty when it names none. */
  readonly parameter: string;

  constructor(status: number, title: string, detail: string, parameter = '') {
    super(title);
    this.name = 'ProblemError';
    this.status = status;
    this.detail = detail;
    this.parameter = parameter;
  }
}

async function problemOf(response: Response): Promise<ProblemError> {
  const body: unknown = await response.json().catch(() => null);
  const said = (name: string) => {
    const value = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : null;
    return typeof value === 'string' ? value : '';
  };
  return new ProblemError(
    response.status,
    said('title') || `The server answered ${response.status}`,
    said('detail'),
    said('parameter'),
  );
}

export async function request<T>(path: string, init: RequestInit = {}, accept: number[] = []): Promise<T> {
  const response = await fetch(path, {
    credentials: 'same-origin',
    ...init,
    headers: { Accept: 'application/json', ...init.headers },
  });
  if (!response.ok && !accept.includes(response.status)) throw await problemOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export interface CallFilter {
  status?: CallStatus;
  q?: string;
  limit?: number;
  after?: string;
}

function withBody(method: string, body: object): RequestInit {
  return { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
}

function queryOf(filter: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  return query.toString();
}

function listCalls(filter: CallFilter, signal?: AbortSignal): Promise<CallPage> {
  return request(`/api/v1/calls?${queryOf(filter)}`, signal ? { signal } : {});
}

const LIVE_PAGE_SIZE = 100;
const LIVE_PAGES_MAX = 10;

/** All live calls, with the cursor of the first page: later events repeat what later pages already show. */
async function listLiveCalls(signal?: AbortSignal): Promise<CallPage> {
  const whole = await listCalls({ status: 'live', limit: LIVE_PAGE_SIZE }, signal);
  let next = whole.next;
  for (let page = 1; next !== null && page < LIVE_PAGES_MAX; page += 1) {
    const more = await listCalls({ status: 'live', limit: LIVE_PAGE_SIZE, after: next }, signal);
    whole.items.push(...more.items);
    next = more.next;
  }
  return { ...whole, next };
}

const callPath = (callId: string) => `/api/v1/calls/${encodeURIComponent(callId)}`;

const queuePath = (queueId: string) => `/api/v1/queues/${encodeURIComponent(queueId)}`;

const importPath = (importId: string) => `/api/v1/imports/${encodeURIComponent(importId)}`;

export const api = {
  me: () => request<Me>('/api/v1/me'),
  logout: () => request<void>('/api/v1/logout', { method: 'POST' }),
  listCalls,
  listLiveCalls,
  snapshot: (callId: string, signal?: AbortSignal) =>
    request<Snapshot>(callPath(callId), signal ? { signal } : {}),
  setActionItemStatus: (insightId: string, status: ActionItemStatus) =>
    request<Insight>(`/api/v1/action-items/${encodeURIComponent(insightId)}`, withBody('PATCH', { status })),
  setSpeakerRole: (
    callId: string,
    { trackId, speaker, role }: { trackId: string; speaker: string; role: Role },
  ) =>
    request<unknown>(
      `${callPath(callId)}/speakers/${encodeURIComponent(speaker)}`,
      withBody('PATCH', { role, track_id: trackId }),
    ),
  agents: () => request<Page<Agent>>('/api/v1/agents'),
  queues: () => request<Page<Queue>>('/api/v1/queues'),
  createQueue: (fields: QueueFields) => request<Queue>('/api/v1/queues', withBody('POST', fields)),
  changeQueue: (queueId: string, fields: QueueFields) =>
    request<Queue>(queuePath(queueId), withBody('PUT', fields)),
  deleteQueue: (queueId: string) => request<void>(queuePath(queueId), { method: 'DELETE' }),
  vocabulary: () => request<Page<Phrase>>('/api/v1/vocabulary'),
  addPhrases: (phrases: readonly string[], queueId: string | null) =>
    request<Page<Phrase>>(
      '/api/v1/vocabulary',
      withBody('POST', { phrases, ...(queueId !== null && { queue_id: queueId }) }),
    ),
  deletePhrase: (phraseId: string) =>
    request<void>(`/api/v1/vocabulary/${encodeURIComponent(phraseId)}`, { method: 'DELETE' }),
  callbacks: (filter: { status?: CallbackStatus; after?: string }, signal?: AbortSignal) =>
    request<Page<Callback>>(`/api/v1/callbacks?${queryOf(filter)}`, signal ? { signal } : {}),
  setCallbackStatus: (callbackId: string, status: CallbackStatus) =>
    request<Callback>(`/api/v1/callbacks/${encodeURIComponent(callbackId)}`, withBody('PATCH', { status })),
  imports: (filter: { limit?: number; after?: string } = {}, signal?: AbortSignal) =>
    request<ImportPage>(`/api/v1/imports?${queryOf(filter)}`, signal ? { signal } : {}),
  getImport: (id: string, signal?: AbortSignal) =>
    request<ImportView>(importPath(id), signal ? { signal } : {}),
  addImport: (fields: object, signal?: AbortSignal) =>
    request<ImportView>('/api/v1/imports', { ...withBody('POST', fields), ...(signal && { signal }) }),
  sendPiece: (id: string, offset: number, piece: Blob, signal?: AbortSignal) =>
    request<ImportView>(`${importPath(id)}/content?offset=${offset}`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/octet-stream' },
      body: piece,
      ...(signal && { signal }),
    }),
  cancelImport: (id: string) => request<ImportView>(`${importPath(id)}/cancel`, { method: 'POST' }),
  recordingUrl: (callId: string, download = false) =>
    `${callPath(callId)}/recording${download ? '?download=1' : ''}`,
  peaks: (callId: string, signal?: AbortSignal) =>
    request<Peaks>(`${callPath(callId)}/recording/peaks`, signal ? { signal } : {}),
  pauseRecording: (callId: string) =>
    request<unknown>(`${callPath(callId)}/recording/pause`, { method: 'POST' }),
  resumeRecording: (callId: string) =>
    request<unknown>(`${callPath(callId)}/recording/resume`, { method: 'POST' }),
  exportUrl: (callId: string, format: ExportFormat) => `${callPath(callId)}/export?format=${format}`,
  async exportFile(id: string, format: ExportFormat): Promise<{ name: string; content: Blob }> {
    const response = await fetch(api.exportUrl(id, format), { credentials: 'same-origin' });
    if (!response.ok) throw await problemOf(response);
    const told = response.headers.get('Content-Disposition') ?? '';
    const name = /filename="([^"]+)"/.exec(told)?.[1] ?? `call-${id}.${format}`;
    return { name, content: await response.blob() };
  },
  /** Answers 503 with the same body when a dependency is away. */
  readiness: () => request<Readiness>('/readyz', {}, [503]),
  system: () => request<System>('/api/v1/system'),
};
