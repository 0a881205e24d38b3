import { Button } from '@mantine/core';
import { IconPhone, IconPhoneIncoming, IconPhoneOff } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import { useServerNow } from '../../clock';
import { usePhone } from '../../phone/PhoneContext';
import { callerName, type Offer } from '../../phone/phone';
import { ariaKeys, isTyping } from '../../phone/shortcuts';
import { CallerHistory } from './CallerHistory';
import classes from './OfferCard.module.css';
import { Since } from './Since';
import solid from './solid.module.css';

/** A call that rings: who, why, what they called about before; answer or reject. */
export function OfferCard({ offer }: { offer: Offer }) {
  const { view, answer, reject } = usePhone();
  const answerButton = useRef<HTMLButtonElement>(null);
  const busy = view.pending.has('answer') || view.pending.has('reject') || view.connection !== 'live';

  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each call that rings
  useEffect(() => {
    const before = document.activeElement;
    const taken = isTyping(before) || before?.closest('[role="dialog"]');
    if (!taken) answerButton.current?.focus({ preventScroll: true });
    return () => {
      if (document.activeElement === document.body && before instanceof HTMLElement) before.focus();
    };
  }, [offer.call_id]);

  return (
    <section
      className={classes.root}
      aria-label="Incoming call"
      data-testid="phone-offer"
      data-call-id={offer.call_id}
      data-kind={offer.kind}
    >
      <div className={classes.head}>
        <span className={classes.icon}>
          <IconPhoneIncoming size={20} stroke={1.8} aria-hidden />
        </span>
        <div className={classes.who}>
          <p className={classes.kind}>{kindWords(offer)}</p>
          <h2 className={`${classes.number} numeric`} data-testid="phone-offer-number">
            {callerName(offer)}
          </h2>
          <p className={classes.facts}>
            {offer.queue && <span>{offer.queue}</span>}
            {offer.to_number && <span className="numeric">to {offer.to_number}</span>}
            {offer.waiting_since && (
              <span>
                waiting <Since at={offer.waiting_since} />
              </span>
            )}
          </p>
        </div>
        <RingsFor offer={offer} />
      </div>
      <div className={classes.actions}>
        <Button
          ref={answerButton}
          className={solid.good}
          leftSection={<IconPhone size={17} stroke={2} />}
          data-testid="phone-answer"
          aria-keyshortcuts={ariaKeys('answer')}
          disabled={busy}
          onClick={answer}
        >
          Answer
        </Button>
        <Button
          className={solid.bad}
          leftSection={<IconPhoneOff size={17} stroke={2} />}
          data-testid="phone-reject"
          aria-keyshortcuts={ariaKeys('reject')}
          disabled={busy}
          onClick={reject}
        >
          Reject
        </Button>
      </div>
      <CallerHistory number={offer.from_number} except={offer.call_id} />
    </section>
  );
}

function kindWords({ kind, by }: Offer): string {
  if (kind === 'transfer') return `Transferred by ${by ?? 'a colleague'}`;
  if (kind === 'consult') return `${by ?? 'A colleague'} asks you about a caller`;
  return 'Incoming call';
}

/** How long it still rings here. */
function RingsFor({ offer }: { offer: Offer }) {
  const now = useServerNow();
  const left = Math.max(0, Math.min(offer.ring_ms, Date.parse(offer.ringing_since) + offer.ring_ms - now));
  const share = offer.ring_ms > 0 ? left / offer.ring_ms : 0;
  return (
    <span className={classes.countdown} data-testid="phone-offer-countdown">
      <svg viewBox="0 0 40 40" aria-hidden="true">
        <circle cx="20" cy="20" r="17" className={classes.track} />
        <circle cx="20" cy="20" r="17" className={classes.left} pathLength={1} strokeDashoffset={1 - share} />
      </svg>
      <span className="numeric">
        <span className="visually-hidden">Rings here for </span>
        {Math.ceil(left / 1000)}
        <span className="visually-hidden"> more seconds</span>
      </span>
    </span>
  );
}
