import { ActionIcon, Tooltip } from '@mantine/core';
import { useLocalStorage } from '@mantine/hooks';
import {
  IconAlertTriangle,
  IconDownload,
  IconPlayerPauseFilled,
  IconPlayerPlayFilled,
  IconPlayerTrackNext,
} from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../../api/client';
import type { Recording, Role } from '../../api/types';
import { clock, words } from '../../format';
import type { CallState } from '../../state/call';
import { Banner } from '../Banner';
import { ROLE_MARKS } from '../marks';
import { RoleAvatar } from '../RoleAvatar';
import { lossesOf, placesOf } from '../transcript/losses';
import { HoleList } from './HoleMarks';
import { holesOf } from './holes';
import { lanesOf } from './lanes';
import { useMoment } from './PlaybackContext';
import { quietSpans } from './peaks';
import type { Playback } from './playback';
import classes from './RecordingPlayer.module.css';
import { SpeedMenu } from './SpeedMenu';
import { Waveform } from './Waveform';

interface RecordingPlayerProps {
  state: CallState;
  recording: Recording;
  playback: Playback;
}

/** Plays a call's saved recording. */
export function RecordingPlayer({ state, recording, playback }: RecordingPlayerProps) {
  const { call, gaps, tracks, legs } = state;
  const { pauses } = recording;
  const sound = useRef<HTMLAudioElement>(null);
  const [broken, setBroken] = useState(false);
  const [rate, setRate] = useLocalStorage({ key: 'hearline-play-rate', defaultValue: 1 });
  const [skips, setSkips] = useState(false);
  const peaks = useQuery({
    queryKey: ['peaks', call.id, recording.recording_id],
    queryFn: ({ signal }) => api.peaks(call.id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const lanes = useMemo(() => lanesOf(tracks), [tracks]);
  const durationMs = recording.duration_ms ?? peaks.data?.duration_ms ?? call.duration_ms ?? 0;
  const holes = useMemo(
    () => holesOf({ losses: placesOf(gaps), tracks, legs, pauses }, durationMs),
    [gaps, tracks, legs, pauses, durationMs],
  );
  const listed = useMemo(
    () => holesOf({ losses: lossesOf(gaps), tracks, legs, pauses }, durationMs),
    [gaps, tracks, legs, pauses, durationMs],
  );

  useEffect(() => (sound.current ? playback.attach(sound.current) : undefined), [playback]);
  useEffect(() => playback.setRate(rate), [playback, rate]);
  useEffect(() => {
    playback.quiet = peaks.data ? quietSpans(peaks.data) : [];
    playback.skipsSilence = skips;
  }, [playback, peaks.data, skips]);

  const reload = () => {
    setBroken(false);
    sound.current?.load();
  };

  return (
    <section className={classes.root} data-testid="recording-player" aria-label="Recording">
      {/* biome-ignore lint/a11y/useMediaCaption: the transcript beside it is its text, word by word */}
      <audio
        ref={sound}
        src={api.recordingUrl(call.id)}
        preload="metadata"
        onError={() => setBroken(true)}
        onLoadedMetadata={() => playback.setRate(rate)}
      />
      <span className="visually-hidden" role="status" data-testid="recording-state" data-state="saved">
        Recorded
      </span>
      <div className={classes.row}>
        <PlayButton playback={playback} />
        <Time playback={playback} durationMs={durationMs} />
        <div className={classes.wave}>
          <div className={classes.parties}>
            {lanes.map(
              (role, at) =>
                role && (
                  <span
                    key={at === 0 ? 'left' : 'right'}
                    title={laneName(role)}
                    style={{ gridRow: at + 1 }}
                    data-testid="recording-lane"
                    data-role={role}
                  >
                    <RoleAvatar role={role} size={22} />
                    <span className="visually-hidden">{laneName(role)}</span>
                  </span>
                ),
            )}
          </div>
          <Waveform
            playback={playback}
            peaks={peaks.data ?? null}
            durationMs={durationMs}
            lanes={lanes}
            holes={holes}
          />
        </div>
        <div className={classes.tools}>
          <SpeedMenu rate={rate} onRate={setRate} />
          <Tooltip label="Leave out silence">
            <ActionIcon
              variant={skips ? 'light' : 'subtle'}
              color={skips ? 'iris' : 'gray'}
              aria-label="Leave out silence"
              aria-pressed={skips}
              disabled={!peaks.data}
              data-testid="recording-skip"
              onClick={() => setSkips((was) => !was)}
            >
              <IconPlayerTrackNext size={18} stroke={1.7} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label={`Download${recording.format ? ` (${formatWord(recording.format)})` : ''}`}>
            <ActionIcon
              component="a"
              href={api.recordingUrl(call.id, true)}
              download
              aria-label="Download the recording"
              data-testid="recording-download"
            >
              <IconDownload size={18} stroke={1.7} />
            </ActionIcon>
          </Tooltip>
        </div>
      </div>
      <HoleList holes={listed} onGo={(ms) => playback.seek(ms)} />
      {recording.reason && (
        <Banner icon={IconAlertTriangle} tone="warn" testId="recording-part-missing">
          A part of the recording is missing: {words(recording.reason)}.
        </Banner>
      )}
      {broken && (
        <Banner icon={IconAlertTriangle} tone="bad" testId="recording-broken">
          The recording could not be played.{' '}
          <button type="button" className={classes.again} onClick={reload}>
            Try again
          </button>
        </Banner>
      )}
    </section>
  );
}

const laneName = (role: Role) => (role === 'unknown' ? 'All speakers' : ROLE_MARKS[role].word);

const formatWord = (format: string) => (format === 'opus' ? 'Ogg Opus' : format.toUpperCase());

function PlayButton({ playback }: { playback: Playback }) {
  const playing = useMoment(playback, (moment) => moment.playing) ?? false;
  return (
    <ActionIcon
      variant="filled"
      color="iris"
      radius="xl"
      size={40}
      aria-label={playing ? 'Pause' : 'Play'}
      data-testid="recording-play"
      data-playing={playing}
      onClick={() => playback.toggle()}
    >
      {playing ? <IconPlayerPauseFilled size={18} /> : <IconPlayerPlayFilled size={18} />}
    </ActionIcon>
  );
}

function Time({ playback, durationMs }: { playback: Playback; durationMs: number }) {
  const second = useMoment(playback, ({ timeMs }) => Math.floor(timeMs / 1000)) ?? 0;
  return (
    <p className={`${classes.time} numeric`}>
      <span className={classes.now} data-testid="recording-time">
        {clock(second * 1000)}
      </span>
      <span className="visually-hidden"> of </span>
      <span className={classes.whole}>{clock(durationMs)}</span>
    </p>
  );
}
