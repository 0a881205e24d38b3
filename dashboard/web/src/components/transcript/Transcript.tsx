import { Button } from '@mantine/core';
import { IconArrowDown, IconEar, IconLanguage, IconMessageOff, IconVolume } from '@tabler/icons-react';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useEffectEvent, useMemo, useRef, useState } from 'react';
import { languageName, languagesOf } from '../../languages';
import { partyName, trackName, voiceName } from '../../names';
import type { CallState } from '../../state/call';
import { isMixed, partiesOf } from '../../state/speakers';
import { Chip } from '../Chip';
import { EmptyState } from '../EmptyState';
import { ROLE_MARKS } from '../marks';
import { PartyStrip } from '../speakers/PartyStrip';
import { SpeakerStrip } from '../speakers/SpeakerStrip';
import { Announcer } from './Announcer';
import { GapRow } from './GapRow';
import { Legend } from './Legend';
import { sideOf } from './losses';
import { rowsOf, type TurnRow } from './rows';
import { SegmentRow } from './SegmentRow';
import { findHits } from './search';
import classes from './Transcript.module.css';
import { TranscriptSearch } from './TranscriptSearch';
import { useFollowing } from './useFollowing';
import { useRetracted } from './useRetracted';
import { useRowKeys } from './useRowKeys';

const AT_END_WITHIN_PX = 60;
const ROW_ESTIMATE_PX = 52;
const BANNER_PX = 60;

interface TranscriptProps {
  state: CallState;
  /** The language that needs no telling. */
  usual: string;
  /** The segments that the insight under the pointer rests on. */
  evidence: ReadonlySet<string>;
  /** A segment to scroll to; a new object each time it is asked for. */
  target: { segmentId: string } | null;
}

export function Transcript({ state, usual, evidence, target }: TranscriptProps) {
  const live = state.call.status === 'live';
  const viewport = useRef<HTMLDivElement>(null);
  const [query, setQuery] = useState('');
  const [chosen, setChosen] = useState(0);
  const [away, setAway] = useState(false);

  const { segments, gaps, speakers, tracks, legs } = state;
  const { shown, isLeaving } = useRetracted(segments);
  const rows = useMemo(
    () => rowsOf({ segments: shown, gaps, speakers }, usual),
    [shown, gaps, speakers, usual],
  );
  const languages = languagesOf(state);
  const mixed = Object.keys(tracks).filter((trackId) => isMixed(state, trackId));
  const parties = partiesOf(state);
  const hits = useMemo(() => findHits(rows, query), [rows, query]);
  const current = Math.min(chosen, Math.max(0, hits.length - 1));
  const currentHit = hits[current];

  const watched = useRef(live);
  watched.current ||= live;
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => viewport.current,
    getItemKey: (index) => rows[index]?.key ?? index,
    estimateSize: () => ROW_ESTIMATE_PX,
    overscan: 12,
    // Room for what a banner says of a live call, so that it covers no line.
    paddingStart: watched.current ? BANNER_PX : 0,
    paddingEnd: 20,
    anchorTo: watched.current ? 'end' : 'start',
    followOnAppend: true,
    scrollEndThreshold: AT_END_WITHIN_PX,
  });

  const items = virtualizer.getVirtualItems();
  const following = useFollowing(rows, virtualizer, viewport);
  const keys = useRowKeys(rows, virtualizer, viewport);

  const toEnd = () => virtualizer.scrollToEnd();

  // A banner that comes or goes changes the height, and so does the player of a call that has just ended: what was
  // at the end stays there.
  const keepEnd = useEffectEvent(() => {
    if (watched.current && !away) toEnd();
  });
  useEffect(() => {
    if (!viewport.current) return;
    const observer = new ResizeObserver(() => keepEnd());
    observer.observe(viewport.current);
    return () => observer.disconnect();
  }, []);

  // A live call opens at its end; an ended one is read from its start.
  const opened = useRef(false);
  useEffect(() => {
    if (opened.current || rows.length === 0) return;
    opened.current = true;
    if (live) virtualizer.scrollToEnd();
  }, [rows.length, live, virtualizer]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: only a new target scrolls, not a new line
  useEffect(() => {
    const index = rows.findIndex(
      (row) => row.type === 'segment' && row.segment.segment_id === target?.segmentId,
    );
    if (target && index >= 0) goTo(index);
  }, [target]);

  const goTo = (index: number) => {
    following.leave();
    virtualizer.scrollToIndex(index, { align: 'center' });
  };
  const show = (index: number) => {
    const hit = hits[index];
    if (!hit) return;
    setChosen(index);
    goTo(hit.row);
  };
  const search = (wanted: string) => {
    setQuery(wanted);
    setChosen(0);
    const first = findHits(rows, wanted)[0];
    if (first) goTo(first.row);
  };

  return (
    <section className={classes.root} aria-labelledby="transcript-title">
      <div className={classes.head}>
        <div className={classes.heading}>
          <div className={classes.named}>
            {' '}
            <h2 id="transcript-title" className={classes.title}>
              Transcript
            </h2>
            <Legend mixed={mixed.length > 0} />
          </div>{' '}
          {languages.some((language) => language !== usual) && (
            <Chip icon={IconLanguage} title="What is spoken in this call" testId="languages">
              {languages.map(languageName).join(', ')}
            </Chip>
          )}
        </div>
        <TranscriptSearch
          query={query}
          onQuery={search}
          hits={hits.length}
          current={current}
          onStep={(step) => show((current + step + hits.length) % hits.length)}
        />
      </div>
      {parties.length > 0 && <PartyStrip parties={parties} legs={legs} door={state.call.door} />}
      {mixed.map(
        (trackId) =>
          (live || speakers[trackId]) && (
            <SpeakerStrip
              key={trackId}
              trackId={trackId}
              line={mixed.length > 1 ? trackName(tracks[trackId], legs) : null}
            />
          ),
      )}
      <div
        ref={viewport}
        className={classes.viewport}
        data-testid="transcript"
        role="log"
        aria-live="off"
        aria-label="Transcript"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        {...following.handlers}
        onKeyDown={(event) => {
          following.onKeyDown(event);
          keys.onKeyDown(event);
        }}
        onFocus={keys.onFocus}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
          setAway(scrollHeight - scrollTop - clientHeight > AT_END_WITHIN_PX)
        }
      >
        {rows.length === 0 && (
          <EmptyState
            icon={live ? IconEar : IconMessageOff}
            title={live ? 'Listening' : 'Nothing was said'}
            detail={
              live
                ? 'Words appear here about a second after they are spoken.'
                : 'This call has no transcript.'
            }
          />
        )}
        <div className={classes.rows} style={{ height: virtualizer.getTotalSize() }}>
          {items.map(({ index, key, start }) => {
            const row = rows[index];
            if (!row) return null;
            return (
              <div
                key={key}
                ref={virtualizer.measureElement}
                data-index={index}
                className={classes.row}
                style={{ transform: `translateY(${start}px)` }}
              >
                {row.type === 'gap' ? (
                  <GapRow gap={row.gap} party={sideOf(row.gap, (id) => trackName(tracks[id], legs))} />
                ) : (
                  <SegmentRow
                    rowKey={row.key}
                    segment={row.segment}
                    head={row.head}
                    language={row.language}
                    waits={row.waits}
                    {...whoSpeaks(row, state)}
                    query={query}
                    currentHit={currentHit?.key === row.key ? currentHit.start : null}
                    evidence={evidence.has(row.segment.segment_id)}
                    leaving={isLeaving(row.segment)}
                    tabStop={row.key === keys.stop}
                  />
                )}
              </div>
            );
          })}
        </div>
      </div>
      {away && live && (
        <Button
          className={classes.jump}
          radius="xl"
          size="xs"
          leftSection={<IconArrowDown size={14} />}
          onClick={toEnd}
        >
          Jump to live
        </Button>
      )}
      {following.isAway && (
        <Button
          className={classes.jump}
          radius="xl"
          size="xs"
          leftSection={<IconVolume size={14} />}
          data-testid="follow-playback"
          onClick={following.comeBack}
        >
          Back to what is playing
        </Button>
      )}
      {live && <Announcer state={state} />}
    </section>
  );
}

/** What to call whose words these are. Where several share a track, its leg's name is nobody's in particular. */
function whoSpeaks({ segment, waits }: TurnRow, { speakers, legs }: CallState) {
  const { track_id, leg_id, role, speaker } = segment;
  const people = speakers[track_id] ?? [];
  if (people.length < 2) return { party: partyName(role, speaker, legs[leg_id]), speaker: null };
  if (waits) return { party: ROLE_MARKS.unknown.word, speaker: null };
  return {
    party: voiceName({ role, speaker }),
    speaker: people.find((one) => one.speaker === speaker) ?? null,
  };
}
