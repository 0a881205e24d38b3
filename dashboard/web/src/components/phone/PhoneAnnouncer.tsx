import { useEffect, useRef, useState } from 'react';
import { type Announcement, announce } from '../../phone/announce';
import { usePhone } from '../../phone/PhoneContext';

/** Says what changes on the phone to those who use a screen reader. */
export function PhoneAnnouncer() {
  const { view } = usePhone();
  const before = useRef(view);
  const [said, setSaid] = useState<Announcement | null>(null);

  useEffect(() => {
    const words = announce(before.current, view);
    before.current = view;
    if (words) setSaid(words);
  }, [view]);

  return (
    <div data-testid="phone-announcer">
      <div className="visually-hidden" role="status" aria-atomic="true">
        {said && !said.urgent && said.words}
      </div>
      <div className="visually-hidden" role="alert" aria-atomic="true">
        {said?.urgent && said.words}
      </div>
    </div>
  );
}
