import { Avatar, Menu, UnstyledButton } from '@mantine/core';
import { IconLogout } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api } from '../../api/client';
import type { Me } from '../../api/types';
import { words } from '../../format';
import classes from './UserMenu.module.css';

export function UserMenu({ me }: { me: Me }) {
  const queryClient = useQueryClient();
  const logout = useMutation({
    mutationFn: api.logout,
    onSettled: () => queryClient.resetQueries({ queryKey: ['me'] }),
  });
  return (
    <Menu width={220}>
      <Menu.Target>
        <UnstyledButton className={classes.target} aria-label={`Account of ${me.name}`}>
          <Avatar name={me.name} size={30} radius="xl" color="iris" />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <div className={classes.who}>
          <span className={classes.name}>{me.name}</span>
          <span className={classes.role}>{words(me.role)}</span>
        </div>
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={16} stroke={1.7} />} onClick={() => logout.mutate()}>
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
