import { useEffect, useMemo, useState } from 'react';
import { compareSegments, type ScreenSegment } from '../../state/call';

/** As long as the row's own animation takes. */
const LEAVES_MS = 260;

/** The segments, with the partials that were taken back a moment ago, so that these can leave softly. */
export function useRetracted(segments: readonly ScreenSegment[]) {
  const [seen, setSeen] = useState(segments);
  const [leaving, setLeaving] = useState<readonly ScreenSegment[]>([]);
  if (seen !== segments) {
    setSeen(segments);
    const gone = takenBack([...leaving, ...seen], segments);
    if (gone.length > 0 || leaving.length > 0) setLeaving(gone);
  }
  useEffect(() => {
    if (leaving.length === 0) return;
    const timer = setTimeout(() => setLeaving([]), LEAVES_MS);
    return () => clearTimeout(timer);
  }, [leaving]);
  const shown = useMemo(
    () => (leaving.length === 0 ? segments : [...segments, ...leaving].sort(compareSegments)),
    [segments, leaving],
  );
  return { shown, isLeaving: (segment: ScreenSegment) => leaving.includes(segment) };
}

/** The partials that were there before and are not there any more. */
export function takenBack(
  before: readonly ScreenSegment[],
  now: readonly ScreenSegment[],
): readonly ScreenSegment[] {
  return before.filter(
    ({ is_final, segment_id }) => !is_final && !now.some((segment) => segment.segment_id === segment_id),
  );
}
