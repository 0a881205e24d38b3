import { Button } from '@mantine/core';
import { IconMapOff } from '@tabler/icons-react';
import { Link } from 'wouter';
import { EmptyState } from '../components/EmptyState';

export function NotFoundPage() {
  return (
    <EmptyState icon={IconMapOff} title="There is no such page">
      <Button component={Link} href="/" variant="default">
        All calls
      </Button>
    </EmptyState>
  );
}
