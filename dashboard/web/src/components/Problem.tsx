import { Button } from '@mantine/core';
import { IconCloudOff, IconRefresh } from '@tabler/icons-react';
import { ProblemError } from '../api/client';
import { EmptyState } from './EmptyState';

interface ProblemProps {
  title: string;
  error: Error;
  onRetry: () => void;
  retryLabel?: string;
}

export function Problem({ title, error, onRetry, retryLabel = 'Try again' }: ProblemProps) {
  const detail =
    error instanceof ProblemError
      ? [error.message, error.detail].filter(Boolean).join('. ')
      : 'It may be starting, or the network is away. This page keeps trying.';
  return (
    <EmptyState icon={IconCloudOff} title={title} detail={detail} role="alert">
      <Button variant="default" leftSection={<IconRefresh size={16} />} onClick={onRetry}>
        {retryLabel}
      </Button>
    </EmptyState>
  );
}
