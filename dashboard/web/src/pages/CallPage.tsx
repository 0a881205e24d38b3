import { Button, SegmentedControl, Skeleton } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { IconPhoneX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { Link } from 'wouter';
import { api, ProblemError } from '../api/client';
import { CallHeader } from '../components/CallHeader';
import { EmptyState } from '../components/EmptyState';
import { FeedBanners } from '../components/FeedBanners';
import { EvidenceContext } from '../components/insights/evidence';
import { Insights } from '../components/insights/Insights';
import { useSentimentTrend } from '../components/insights/useSentimentTrend';
import { Problem } from '../components/Problem';
import { Supervise } from '../components/phone/Supervise';
import { PlaybackContext, usePlayback } from '../components/recording/PlaybackContext';
import { RecordingPart } from '../components/recording/RecordingPart';
import { SpeakersContext } from '../components/speakers/SpeakersContext';
import { useSpeakerRoles } from '../components/speakers/useSpeakerRoles';
import { Transcript } from '../components/transcript/Transcript';
import { usualLanguage } from '../languages';
import { callName } from '../names';
import { isImported } from '../state/call';
import { useCall } from '../state/useCall';
import classes from './CallPage.module.css';

const SYSTEM_KEPT_MS = 300_000;
const NARROW = '(max-width: 56em)';
type Tab = 'transcript' | 'insights';

export function CallPage({ callId }: { callId: string }) {
  const call = useCall(callId, showAlert);
  const { error, retry, status } = call;
  const { shown: state, roles } = useSpeakerRoles(callId, call.state, call.putRole);
  const system = useQuery({ queryKey: ['system'], queryFn: api.system, staleTime: SYSTEM_KEPT_MS });
  const trend = useSentimentTrend(state);
  const playback = usePlayback(state?.recording);
  const narrow = useMediaQuery(NARROW);
  const [tab, setTab] = useState<Tab>('transcript');
  const [pointed, setPointed] = useState<readonly string[]>([]);
  const [target, setTarget] = useState<{ segmentId: string } | null>(null);

  const name = state && callName(state.call);
  const live = state?.call.status === 'live' && !isImported(state.call);
  useEffect(() => {
    if (name) document.title = `${live ? '● ' : ''}${name} · Hearline`;
  }, [name, live]);

  const go = useCallback((segmentIds: readonly string[]) => {
    const [segmentId] = segmentIds;
    if (!segmentId) return;
    setTab('transcript');
    setPointed(segmentIds);
    setTarget({ segmentId });
  }, []);
  const evidence = useMemo(() => ({ point: setPointed, go }), [go]);
  const pointedSet = useMemo(() => new Set(pointed), [pointed]);

  if (!state) {
    if (error instanceof ProblemError && error.status === 404) return <CallMissing />;
    if (error) return <Problem title="The call could not be loaded" error={error} onRetry={retry} />;
    return <CallLoading />;
  }
  return (
    <EvidenceContext value={evidence}>
      <SpeakersContext value={roles}>
        <div className={classes.root}>
          <CallHeader state={state} status={status} />
          <Supervise call={state.call} />
          {!live && <FeedBanners status={status} lag={state.lag} />}
          <RecordingPart state={state} playback={playback} />
          {narrow && (
            <SegmentedControl
              className={classes.tabs}
              fullWidth
              aria-label="What to show"
              data={[
                { value: 'transcript', label: 'Transcript' },
                { value: 'insights', label: 'Insights' },
              ]}
              value={tab}
              onChange={(value) => setTab(value as Tab)}
            />
          )}
          <div className={classes.columns} data-tab={tab}>
            {live && (
              // Over the oldest lines in sight: what is being read must not move.
              <div className={classes.over}>
                <FeedBanners status={status} lag={state.lag} />
              </div>
            )}
            <div className={classes.transcript}>
              <PlaybackContext value={playback}>
                <Transcript
                  state={state}
                  usual={usualLanguage(system.data)}
                  evidence={pointedSet}
                  target={target}
                />
              </PlaybackContext>
            </div>
            <div className={classes.insights}>
              <Insights state={state} trend={trend} onActionItemChanged={call.putInsight} />
            </div>
          </div>
        </div>
      </SpeakersContext>
    </EvidenceContext>
  );
}

function showAlert(data: Record<string, unknown>) {
  const said = [data.text, data.message, data.reason].find((value) => typeof value === 'string');
  notifications.show({ color: 'orange', title: 'Alert', message: String(said ?? 'This call needs a look.') });
}

function CallLoading() {
  return (
    <div className={classes.root} role="status" aria-label="Loading the call">
      <Skeleton height={44} width="min(420px, 100%)" radius={10} />
      <div className={classes.columns} data-tab="transcript">
        <Skeleton className={classes.transcript} radius={14} />
        <Skeleton className={classes.insights} radius={14} />
      </div>
    </div>
  );
}

function CallMissing() {
  return (
    <EmptyState
      icon={IconPhoneX}
      title="There is no such call"
      detail="It may have been deleted, or it belongs to another tenant."
    >
      <Button component={Link} href="/" variant="default">
        All calls
      </Button>
    </EmptyState>
  );
}
