import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';
import { api, ProblemError } from '../../api/client';
import { uploads } from '../../imports/uploads';
import { isImported } from '../../state/call';
import { type ImportRow, isUnderWay, rowsOf } from './state';

const SHOWN = 100;
const BUSY_MS = 1_000;
const IDLE_MS = 15_000;
const LIVE_MS = 5_000;
const OPEN: readonly string[] = ['waiting', 'running'];

/** The recordings that are brought in, and what can be done about them. */
export function useImports() {
  const queryClient = useQueryClient();
  const sending = useSyncExternalStore(uploads.subscribe, uploads.snapshot);
  const query = useQuery({
    queryKey: ['imports'],
    queryFn: ({ signal }) => api.imports({ limit: SHOWN }, signal),
    refetchInterval: ({ state: { data } }) =>
      data?.items.some(({ status }) => OPEN.includes(status)) ? BUSY_MS : IDLE_MS,
  });
  const refresh = () => queryClient.invalidateQueries({ queryKey: ['imports'] });

  const phases = sending.map(({ key, phase }) => `${key}${phase}`).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever one of them changes, the server's list does.
  useEffect(() => void refresh(), [phases]);

  const cancel = useMutation({
    mutationFn: (importId: string) => api.cancelImport(importId),
    onError: (error) =>
      notifications.show({
        color: 'red',
        title: 'The import goes on',
        message:
          error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
      }),
    onSettled: refresh,
  });
  const imports = query.data?.items ?? [];
  const running = imports.some(({ status }) => status === 'running');
  const live = useQuery({
    queryKey: ['imports', 'live calls'],
    queryFn: ({ signal }) => api.listLiveCalls(signal),
    enabled: running,
    refetchInterval: LIVE_MS,
  });
  const yields = running && live.data?.items.some((call) => !isImported(call)) === true;
  const rows = rowsOf(sending, imports, yields);

  const stop = (row: ImportRow) => {
    if (row.upload) uploads.drop(row.upload.key);
    const mine = row.upload === null || !row.upload.known;
    if (row.importId && mine && (isUnderWay(row) || row.phase === 'stopped')) cancel.mutate(row.importId);
  };
  const again = (row: ImportRow) => row.upload && uploads.again(row.upload.key);
  return { query, rows, stop, again, maxBytes: query.data?.max_bytes ?? null };
}
