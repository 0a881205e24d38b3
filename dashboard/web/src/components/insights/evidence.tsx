import { createContext, useContext } from 'react';

/** Ties an insight to the lines it rests on: pointing at it marks them, choosing it goes there. */
export interface Evidence {
  point: (segmentIds: readonly string[]) => void;
  go: (segmentIds: readonly string[]) => void;
}

export const EvidenceContext = createContext<Evidence>({ point: () => {}, go: () => {} });

export function useEvidence(segmentIds: readonly string[]) {
  const { point, go } = useContext(EvidenceContext);
  if (segmentIds.length === 0) return { handlers: {}, go: null };
  return {
    handlers: { onMouseEnter: () => point(segmentIds), onMouseLeave: () => point([]) },
    go: { onFocus: () => point(segmentIds), onBlur: () => point([]), onClick: () => go(segmentIds) },
  };
}
