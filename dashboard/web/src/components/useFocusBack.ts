import { useEffect } from 'react';

/** For what opens over the page and is gone when it closes: the focus goes back to where it was. */
export function useFocusBack(): void {
  useEffect(() => {
    const before = document.activeElement;
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
}
