import {
  ActionIcon,
  type MantineColorScheme,
  Menu,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { type Icon, IconCheck, IconDeviceDesktop, IconMoon, IconSun } from '@tabler/icons-react';

const SCHEMES: { scheme: MantineColorScheme; word: string; icon: Icon }[] = [
  { scheme: 'auto', word: 'Same as system', icon: IconDeviceDesktop },
  { scheme: 'light', word: 'Light', icon: IconSun },
  { scheme: 'dark', word: 'Dark', icon: IconMoon },
];

export function ThemeToggle() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const shown = useComputedColorScheme('light');
  return (
    <Menu width={180}>
      <Menu.Target>
        <ActionIcon aria-label="Colour theme">
          {shown === 'dark' ? <IconMoon size={18} stroke={1.7} /> : <IconSun size={18} stroke={1.7} />}
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {SCHEMES.map(({ scheme, word, icon: Icon }) => (
          <Menu.Item
            key={scheme}
            leftSection={<Icon size={16} stroke={1.7} />}
            rightSection={scheme === colorScheme && <IconCheck size={15} aria-label="chosen" />}
            onClick={() => setColorScheme(scheme)}
          >
            {word}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
