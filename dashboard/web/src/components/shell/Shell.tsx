import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Me } from '../../api/types';
import { Logo } from '../Logo';
import { MicButton } from '../mic/MicButton';
import { MicProblemDialog } from '../mic/MicProblemDialog';
import { RecordingIndicator } from '../mic/RecordingIndicator';
import { PhoneDock } from '../phone/PhoneDock';
import { MainNav } from './MainNav';
import classes from './Shell.module.css';
import { SystemStatus } from './SystemStatus';
import { ThemeToggle } from './ThemeToggle';
import { UserMenu } from './UserMenu';

export function Shell({ me, children }: { me: Me; children: ReactNode }) {
  return (
    <div className={classes.root}>
      <a className={classes.skip} href="#main">
        Skip to content
      </a>
      <header className={classes.bar}>
        <Link href="/" className={classes.brand}>
          <Logo />
          <span className={classes.name}>Hearline</span>
        </Link>
        <MainNav me={me} />
        <div className={classes.tools}>
          <MicButton />
          <RecordingIndicator />
          <SystemStatus />
          <ThemeToggle />
          <UserMenu me={me} />
        </div>
      </header>
      <main id="main" className={classes.main} tabIndex={-1}>
        {children}
      </main>
      <PhoneDock />
      <MicProblemDialog />
    </div>
  );
}
