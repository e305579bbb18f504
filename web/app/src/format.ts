/** Times and numbers in the reader's language. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const NUMBER = new Intl.NumberFormat();

export function time(ts: number): string {
  return TIME.format(ts);
}

export function dateAndTime(ts: number): string {
  return FULL.format(ts);
}

export function number(value: number): string {
  return NUMBER.format(value);
}

/** Today, yesterday, or the date. */
export function day(ts: number, now = Date.now()): string {
  const days = Math.round((startOfDay(ts) - startOfDay(now)) / 86_400_000);
  if (days === 0 || days === -1) {
    const word = RELATIVE.format(days, "day");
    return word.charAt(0).toLocaleUpperCase() + word.slice(1);
  }
  return new Date(ts).getFullYear() === new Date(now).getFullYear() ? DAY.format(ts) : DAY_OF_YEAR.format(ts);
}

export function isSameDay(a: number, b: number): boolean {
  return startOfDay(a) === startOfDay(b);
}

function startOfDay(ts: number): number {
  return new Date(ts).setHours(0, 0, 0, 0);
}
