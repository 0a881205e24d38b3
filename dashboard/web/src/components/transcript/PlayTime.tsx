import type { KeyboardEvent } from 'react';
import { clock } from '../../format';
import type { ScreenSegment } from '../../state/call';
import { usePlaybackOfPage } from '../recording/PlaybackContext';
import { spokenWord } from './spoken';

interface PlayTimeProps {
  segment: ScreenSegment;
  /** The row that it belongs to. */
  rowKey: string;
  party: string;
  tabStop: boolean;
  className: string;
}

/** When a line was said. With a recording it is the button that plays from there; the arrows step through its words. */
export function PlayTime({ segment, rowKey, party, tabStop, className }: PlayTimeProps) {
  const { start_ms, words = [] } = segment;
  const playback = usePlaybackOfPage();
  if (!playback) return <span className={className}>{clock(start_ms)}</span>;

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    const word = words[spokenWord(words, playback.timeMs) + step];
    if (word) playback.playFrom(word.start_ms);
    event.preventDefault();
  };
  return (
    <button
      type="button"
      className={className}
      tabIndex={tabStop ? 0 : -1}
      data-testid="segment-play"
      data-key={rowKey}
      data-stop="time"
      aria-label={`Play from ${clock(start_ms)}, ${party}`}
      onClick={() => playback.playFrom(words[0]?.start_ms ?? start_ms)}
      onKeyDown={onKeyDown}
    >
      {clock(start_ms)}
    </button>
  );
}
