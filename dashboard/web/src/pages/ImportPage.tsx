import { ActionIcon, Skeleton } from '@mantine/core';
import { IconArrowLeft, IconFileMusic } from '@tabler/icons-react';
import { useEffect } from 'react';
import { Link } from 'wouter';
import { EmptyState } from '../components/EmptyState';
import { ImportForm } from '../components/imports/ImportForm';
import { ImportTable } from '../components/imports/ImportTable';
import { isUnderWay } from '../components/imports/state';
import { useImports } from '../components/imports/useImports';
import { Problem } from '../components/Problem';
import { plural } from '../format';
import { uploads } from '../imports/uploads';
import classes from './ImportPage.module.css';
import list from './ListPage.module.css';

/** Recordings become calls: sent from here, transcribed faster than they last. */
export default function ImportPage() {
  const { query, rows, stop, again, maxBytes } = useImports();
  const busy = rows.filter(isUnderWay).length;
  const failed = rows.filter(({ phase, upload }) => phase === 'failed' && upload !== null).length;

  useEffect(() => {
    document.title = busy > 0 ? `(${busy}) Import recordings · Hearline` : 'Import recordings · Hearline';
  }, [busy]);

  if (query.error && !query.data)
    return (
      <Problem
        title="The imports could not be loaded"
        error={query.error}
        onRetry={() => void query.refetch()}
      />
    );
  return (
    <div className={list.root}>
      <div className={classes.head}>
        <ActionIcon component={Link} href="/" aria-label="All calls" className={classes.back}>
          <IconArrowLeft size={18} stroke={1.8} />
        </ActionIcon>
        <div>
          <h1 className={list.title}>Import recordings</h1>
          <p className={list.note}>
            Each recording becomes a call with its transcript, insights and audio, faster than it lasts. Live
            calls always come first.
          </p>
        </div>
      </div>
      <ImportForm maxBytes={maxBytes} onFiles={(files, options) => uploads.add(files, options)} />
      <p className="visually-hidden" role="status">
        {busy > 0 ? `${plural(busy, 'recording is', 'recordings are')} being imported.` : ''}
        {busy === 0 && rows.length > 0 ? 'Nothing is being imported.' : ''}
        {failed > 0 ? ` ${plural(failed, 'file was', 'files were')} not imported.` : ''}
      </p>
      {query.isPending && (
        <Skeleton height={180} radius={14} role="status" aria-label="Loading the imports" />
      )}
      {query.data && rows.length === 0 && (
        <EmptyState
          icon={IconFileMusic}
          title="Nothing imported yet"
          detail="Recordings that you add stay listed here, with what became of them."
        />
      )}
      {rows.length > 0 && <ImportTable rows={rows} onStop={stop} onAgain={again} />}
    </div>
  );
}
