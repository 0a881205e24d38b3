import { Button, Menu } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';

const RATES = [0.75, 1, 1.25, 1.5, 1.75, 2];

export function SpeedMenu({ rate, onRate }: { rate: number; onRate: (rate: number) => void }) {
  return (
    <Menu width={130}>
      <Menu.Target>
        <Button
          variant="subtle"
          color="gray"
          size="xs"
          px={8}
          className="numeric"
          aria-label={`Speed: ${rate} times`}
          data-testid="recording-speed"
        >
          {rate}×
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {RATES.map((choice) => (
          <Menu.Item
            key={choice}
            className="numeric"
            rightSection={choice === rate && <IconCheck size={15} aria-label="chosen" />}
            onClick={() => onRate(choice)}
          >
            {choice}×
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
