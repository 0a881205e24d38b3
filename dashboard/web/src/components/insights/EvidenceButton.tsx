import { UnstyledButton } from '@mantine/core';
import { IconQuote } from '@tabler/icons-react';
import { plural } from '../../format';
import classes from './EvidenceButton.module.css';
import { useEvidence } from './evidence';

export function EvidenceButton({ segmentIds }: { segmentIds: readonly string[] }) {
  const { go } = useEvidence(segmentIds);
  if (!go) return null;
  const lines = plural(segmentIds.length, 'line');
  return (
    <UnstyledButton className={classes.root} aria-label={`Show the evidence: ${lines}`} {...go}>
      <IconQuote size={13} stroke={1.8} aria-hidden />
      {lines}
    </UnstyledButton>
  );
}
