/** Turns times, numbers and labels into the words on the screen. */

const pad = (value: number) => String(value).padStart(2, '0');

/** `mm:ss`, or `h:mm:ss` from one hour on. */
export function clock(ms: number): string {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds)}` : `${pad(minutes)}:${pad(seconds)}`;
}

/** `2.4 s`, `38 s`, `3 min`. */
export function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1).replace('.0', '')} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** `just now`, `5 s ago`, `3 min ago`, `2 h ago`, then the date. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 3) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return dayAndTime(at);
}

const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', month: 'short', day: 'numeric' });

export function dayAndTime(at: string | number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '' : DAY_AND_TIME.format(date);
}

/** The time alone for today, with the day before it otherwise. */
export function startedAt(at: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '';
  const sameDay = date.toDateString() === new Date(now).toDateString();
  return sameDay ? TIME.format(date) : `${DAY.format(date)}, ${TIME.format(date)}`;
}

/** A due date as `Mon, 3 Mar`; words such as 'tomorrow' stay as they are. */
export function dueDate(value: string): string {
  if (!/^\d{4}-\d{2}-\d{2}/.test(value)) return value;
  const date = new Date(value.length === 10 ? `${value}T00:00` : value);
  return Number.isNaN(date.getTime()) ? value : DAY.format(date);
}

/** `billing_dispute` -> `Billing dispute`. */
export function words(label: string): string {
  return capital(label.replace(/[_-]+/g, ' ').trim());
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** `+0.4`, `0.0`, `−0.7`. */
export function signed(score: number): string {
  const text = Math.abs(score).toFixed(1);
  if (text === '0.0') return text;
  return score > 0 ? `+${text}` : `\u2212${text}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
