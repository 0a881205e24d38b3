import { hitRanges } from './annotate';
import type { Row } from './rows';

/** One occurrence of what is searched for. */
export interface Hit {
  row: number;
  key: string;
  start: number;
}

export function findHits(rows: readonly Row[], query: string): Hit[] {
  return rows.flatMap((row, index) =>
    row.type === 'segment'
      ? hitRanges(row.segment.text, query).map(({ start }) => ({
          row: index,
          key: row.key,
          start,
        }))
      : [],
  );
}
