import { type Icon, IconPhone, IconPhoneCalling, IconUsersGroup, IconVocabulary } from '@tabler/icons-react';
import { Link, useRoute } from 'wouter';
import type { Me } from '../../api/types';
import classes from './MainNav.module.css';

/** The pages. Agents have no business with the queues' settings. */
export function MainNav({ me }: { me: Me }) {
  const [call] = useRoute('/calls/:id');
  const [importing] = useRoute('/import');
  return (
    <nav className={classes.root} aria-label="Main">
      <Entry href="/" icon={IconPhone} word="Calls" within={call || importing} />
      <Entry href="/callbacks" icon={IconPhoneCalling} word="Call-backs" />
      {me.role !== 'agent' && <Entry href="/queues" icon={IconUsersGroup} word="Queues" />}
      <Entry href="/vocabulary" icon={IconVocabulary} word="Vocabulary" />
    </nav>
  );
}

interface EntryProps {
  href: string;
  icon: Icon;
  word: string;
  /** Whether the page shown belongs to this entry without being it. */
  within?: boolean;
}

function Entry({ href, icon: Icon, word, within = false }: EntryProps) {
  const [here] = useRoute(href);
  return (
    <Link
      href={href}
      className={classes.entry}
      data-here={here || within}
      aria-current={here ? 'page' : within ? 'true' : undefined}
    >
      <Icon size={16} stroke={1.8} aria-hidden />
      {word}
    </Link>
  );
}
