import { IconPlugConnectedX } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { keep, recall } from '../../phone/kept';
import { usePhone } from '../../phone/PhoneContext';
import { ActiveCall } from './ActiveCall';
import { DeviceMenu } from './DeviceMenu';
import { OfferCard } from './OfferCard';
import { PhoneAnnouncer } from './PhoneAnnouncer';
import classes from './PhoneDock.module.css';
import { PhoneProblemDialog } from './PhoneProblemDialog';
import { QueueGlance } from './QueueGlance';
import { ShortcutHelp } from './ShortcutHelp';
import { StatusSwitch } from './StatusSwitch';
import { type Panel, usePhoneKeys } from './usePhoneKeys';

const KEYS_OFF = 'hearline-phone-keys-off';

/** The phone, at the foot of every page; nothing where the server has none. */
export function PhoneDock() {
  const { view } = usePhone();
  const root = useRef<HTMLElement>(null);
  const [panel, setPanel] = useState<Panel | null>(null);
  const [keys, setKeys] = useState(() => recall(KEYS_OFF) === null);
  usePhoneKeys({ enabled: keys, setPanel, focus: () => root.current?.focus() });

  const { phone, connection } = view;
  if (!phone) return null;
  const away = connection !== 'live';
  return (
    <section
      ref={root}
      className={classes.root}
      aria-label="Phone"
      tabIndex={-1}
      data-testid="phone"
      data-connection={connection}
    >
      <PhoneAnnouncer />
      {phone.offer && <OfferCard key={phone.offer.call_id} offer={phone.offer} />}
      {phone.call && (
        <ActiveCall key={phone.call.call_id} call={phone.call} panel={panel} setPanel={setPanel} />
      )}
      <div className={classes.bar}>
        <StatusSwitch />
        {away ? (
          <span className={classes.away} data-testid="phone-away">
            <IconPlugConnectedX size={16} stroke={1.8} aria-hidden />
            {connection === 'offline' ? 'You are offline' : 'Reconnecting to the server'}
          </span>
        ) : (
          <QueueGlance />
        )}
        <div className={classes.tools}>
          <DeviceMenu />
          <ShortcutHelp
            opened={panel === 'help'}
            onChange={(opened) => setPanel(opened ? 'help' : null)}
            enabled={keys}
            onEnabled={(enabled) => {
              setKeys(enabled);
              keep(KEYS_OFF, enabled ? null : 'yes');
            }}
          />
        </div>
      </div>
      <PhoneProblemDialog />
    </section>
  );
}
