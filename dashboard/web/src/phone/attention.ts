/** Calls for attention while a call rings: the ring, the page's title, a notification beside the page. */

import { chosenDevices } from './devices';
import { startRinging } from './tones';

const FLASH_EVERY_MS = 1_000;

/** Asked for in a gesture, once; a browser without notifications, or whose owner refuses, goes without. */
export function askForNotifications(): void {
  if (!('Notification' in window) || Notification.permission !== 'default') return;
  void Notification.requestPermission().catch(() => {});
}

/** Until the returned function is called. */
export function callForAttention(caller: string, detail: string): () => void {
  const ends = [ringInOnePage(), flashTitle(`☎ ${caller}`), notify(caller, detail)];
  return () => {
    for (const end of ends) end();
  };
}

/** However many pages are open, one rings. */
function ringInOnePage(): () => void {
  const ring = () => startRinging(chosenDevices().speaker);
  if (!navigator.locks) return ring();
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  void navigator.locks.request('hearline-ringing', { ifAvailable: true }, async (lock) => {
    if (!lock) return;
    const stop = ring();
    await ended;
    stop();
  });
  return end;
}

/** Changes between the page's own title, also one that it gets meanwhile, and this one. */
export function flashTitle(words: string): () => void {
  let own = document.title;
  const flash = () => {
    if (document.title === words) document.title = own;
    else {
      own = document.title;
      document.title = words;
    }
  };
  flash();
  const timer = setInterval(flash, FLASH_EVERY_MS);
  return () => {
    clearInterval(timer);
    if (document.title === words) document.title = own;
  };
}

function notify(caller: string, detail: string): () => void {
  if (!('Notification' in window) || Notification.permission !== 'granted' || document.hasFocus()) {
    return () => {};
  }
  try {
    const shown = new Notification(`Incoming call: ${caller}`, {
      body: detail,
      tag: 'hearline-ringing',
      requireInteraction: true,
    });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
    return () => shown.close();
  } catch {
    // Some browsers know notifications only in service workers.
    return () => {};
  }
}
