/** Which key does what. Single keys, so they rest while somebody types, and can be switched off (WCAG 2.1.4). */

export const SHORTCUTS = {
  answer: { keys: ['A'], word: 'Answer' },
  reject: { keys: ['Shift', 'X'], word: 'Reject' },
  mute: { keys: ['M'], word: 'Mute or unmute' },
  hold: { keys: ['H'], word: 'Hold or resume' },
  keypad: { keys: ['K'], word: 'Keypad (then 0–9, *, #)' },
  transfer: { keys: ['T'], word: 'Transfer' },
  recording: { keys: ['P'], word: 'Pause or resume the recording' },
  hangUp: { keys: ['Shift', 'E'], word: 'Hang up, or leave' },
  phone: { keys: ['G'], word: 'Go to the phone' },
  help: { keys: ['?'], word: 'These shortcuts' },
} as const;

export type Shortcut = keyof typeof SHORTCUTS;

const BY_KEY: Readonly<Record<string, Shortcut>> = {
  a: 'answer',
  'Shift+x': 'reject',
  m: 'mute',
  h: 'hold',
  k: 'keypad',
  t: 'transfer',
  p: 'recording',
  'Shift+e': 'hangUp',
  g: 'phone',
  '?': 'help',
};

type Pressed = Pick<
  KeyboardEvent,
  'key' | 'shiftKey' | 'ctrlKey' | 'altKey' | 'metaKey' | 'repeat' | 'isComposing' | 'defaultPrevented'
>;

/** The shortcut that was pressed; null: none, or a key that belongs to something else. */
export function shortcutOf(pressed: Pressed): Shortcut | null {
  const { key, ctrlKey, altKey, metaKey, repeat, isComposing, defaultPrevented } = pressed;
  if (ctrlKey || altKey || metaKey || repeat || isComposing || defaultPrevented) return null;
  if (key === '?') return 'help';
  return BY_KEY[`${pressed.shiftKey ? 'Shift+' : ''}${key.toLowerCase()}`] ?? null;
}

const TYPED_INTO =
  'textarea, select, [contenteditable]:not([contenteditable="false"]), [role="textbox"], [role="searchbox"], [role="combobox"], [role="menu"], [role="listbox"]';
const INPUTS_WITHOUT_TEXT = [
  'button',
  'checkbox',
  'radio',
  'range',
  'submit',
  'reset',
  'image',
  'color',
  'file',
];

/** Whether keys pressed here are text, or choose something. */
export function isTyping(element: Element | null): boolean {
  if (!element) return false;
  if (element.tagName === 'INPUT') return !INPUTS_WITHOUT_TEXT.includes((element as HTMLInputElement).type);
  return element.closest(TYPED_INTO) !== null;
}

export const DIGITS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '0', '#'] as const;
export type Digit = (typeof DIGITS)[number];

export function digitOf({ key, ctrlKey, altKey, metaKey }: Omit<Pressed, 'repeat'>): Digit | null {
  if (ctrlKey || altKey || metaKey) return null;
  return DIGITS.find((digit) => digit === key) ?? null;
}

/** For `aria-keyshortcuts`. */
export function ariaKeys(shortcut: Shortcut): string {
  return SHORTCUTS[shortcut].keys.join('+');
}
