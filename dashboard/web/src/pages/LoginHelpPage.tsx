import { Button, Code } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useLocation } from 'wouter';
import { Logo } from '../components/Logo';
import { ThemeToggle } from '../components/shell/ThemeToggle';
import classes from './LoginHelpPage.module.css';

/** What to do without a session. Coming back to the tab after opening the link goes on by itself. */
export function LoginHelpPage() {
  const queryClient = useQueryClient();
  const [location, navigate] = useLocation();

  useEffect(() => {
    document.title = 'Log in · Hearline';
    const ask = () => void queryClient.invalidateQueries({ queryKey: ['me'] });
    window.addEventListener('focus', ask);
    return () => window.removeEventListener('focus', ask);
  }, [queryClient]);

  const retry = async () => {
    await queryClient.refetchQueries({ queryKey: ['me'] });
    if (location === '/login-help') navigate('/');
  };

  return (
    <main className={classes.root}>
      <div className={classes.theme}>
        <ThemeToggle />
      </div>
      <div className={classes.card}>
        <Logo />
        <h1 className={classes.title}>Open your login link</h1>
        <p className={classes.text}>
          Hearline has no passwords. When the server starts it prints a one-time login link; open that link in
          this browser and you are in.
        </p>
        <p className={classes.text}>The link was used or is gone? Ask the server for a new one:</p>
        <Code block className={classes.code}>
          hearline login-link
        </Code>
        <Button fullWidth mt="lg" onClick={() => void retry()}>
          I have opened it
        </Button>
      </div>
    </main>
  );
}
