import { useEffect, useEffectEvent } from 'react';
import { usePhone } from '../../phone/PhoneContext';
import { isConsulted, mayHangUp } from '../../phone/phone';
import { isTyping, type Shortcut, shortcutOf } from '../../phone/shortcuts';
import { speaks } from '../../phone/softphone';

/** What of the phone is open beside its bar. */
export type Panel = 'keypad' | 'transfer' | 'help';

interface PhoneKeys {
  enabled: boolean;
  setPanel: (panel: Panel | null) => void;
  focus: () => void;
}

/** Makes the shortcuts work, on every page, except while somebody types or chooses something. */
export function usePhoneKeys({ enabled, setPanel, focus }: PhoneKeys): void {
  const { view, softphone, answer, reject } = usePhone();

  const press = (shortcut: Shortcut): boolean => {
    const { phone, connection, muted } = view;
    if (!phone) return false;
    if (shortcut === 'help') setPanel('help');
    else if (shortcut === 'phone') focus();
    else if (connection !== 'live') return false;
    else if (shortcut === 'answer' && phone.offer) answer();
    else if (shortcut === 'reject' && phone.offer) reject();
    else {
      const { call } = phone;
      if (!call) return false;
      if (shortcut === 'mute' && speaks(call)) void softphone.mute(!muted);
      else if (shortcut === 'hangUp' && mayHangUp(phone)) void softphone.hangUp();
      else if (isConsulted(phone)) return false;
      else if (shortcut === 'recording' && call.recording !== 'off')
        void softphone.do({ do: 'recording', call_id: call.call_id, on: call.recording === 'paused' });
      else if (call.part !== 'agent') return false;
      else if (shortcut === 'keypad' && !call.held) setPanel('keypad');
      else if (call.transfer !== null) return false;
      else if (shortcut === 'hold') void softphone.do({ do: 'hold', call_id: call.call_id, on: !call.held });
      else if (shortcut === 'transfer') setPanel('transfer');
      else return false;
    }
    return true;
  };

  const hear = useEffectEvent((event: KeyboardEvent) => {
    const shortcut = shortcutOf(event);
    if (!shortcut || (!enabled && shortcut !== 'help')) return;
    const at = document.activeElement;
    if (isTyping(at) || at?.closest('[role="dialog"]')) return;
    if (press(shortcut)) event.preventDefault();
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => hear(event);
    window.addEventListener('keydown', listen);
    return () => window.removeEventListener('keydown', listen);
  }, []);
}
