/** Small choices that this browser keeps; one that forbids storage forgets them with the page. */

export function recall(name: string, storage: () => Storage = () => localStorage): string | null {
  try {
    return storage().getItem(name);
  } catch {
    return null;
  }
}

/** Null: forget it. */
export function keep(name: string, value: string | null, storage: () => Storage = () => localStorage): void {
  try {
    if (value === null) storage().removeItem(name);
    else storage().setItem(name, value);
  } catch {
    // Nothing to be done, and nothing depends on it.
  }
}
