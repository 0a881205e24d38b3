import { IconUsersGroup } from '@tabler/icons-react';
import { usePhone } from '../../phone/PhoneContext';
import classes from './QueueGlance.module.css';
import { Since } from './Since';

/** Who waits where, and for how long. */
export function QueueGlance() {
  const { view } = usePhone();
  if (!view.phone) return null;
  const waiting = view.phone.queues.filter((queue) => queue.waiting > 0);
  return (
    <div
      className={classes.root}
      data-testid="phone-queues"
      data-waiting={waiting.length > 0}
      data-in-call={view.phone.call !== null}
    >
      <IconUsersGroup size={16} stroke={1.7} aria-hidden />
      {waiting.length === 0 ? (
        <span>{view.phone.status === 'online' ? 'Nobody is waiting' : 'Calls do not ring here'}</span>
      ) : (
        <ul className={classes.list}>
          {waiting.map(({ queue_id, name, waiting: count, longest_since }) => (
            <li key={queue_id} className={classes.queue}>
              <span className={classes.name}>{name}</span> <strong className="numeric">{count}</strong>{' '}
              waiting
              {longest_since && (
                <span className={classes.longest}>
                  longest <Since at={longest_since} />
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
