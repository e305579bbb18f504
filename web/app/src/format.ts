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

const DECIMAL = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"].map(
  (unit) =>
    new Intl.NumberFormat(undefined, {
      style: "unit",
      unit: `${unit}-per-second`,
      maximumSignificantDigits: 3,
    }),
);

/** Three digits are enough for what changes all the time. */
export function decimal(value: number): string {
  return value >= 1000 ? number(Math.round(value)) : DECIMAL.format(value);
}

/** Bytes a second. */
export function perSecond(bytes: number): string {
  const step = Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return (BYTE_UNITS[step] as Intl.NumberFormat).format(bytes / 1000 ** step);
}

/** A length of time in its largest two units. */
export function duration(seconds: number): string {
  const parts = [
    ["d", 86_400, Number.POSITIVE_INFINITY],
    ["h", 3600, 24],
    ["min", 60, 60],
    ["s", 1, 60],
  ] as const;
  const counts = parts.map(([unit, size, base]) => [Math.floor(seconds / size) % base, unit] as const);
  const first = counts.findIndex(([count]) => count > 0);
  const shown = first < 0 ? [[0, "s"] as const] : counts.slice(first, first + 2);
  return shown.map(([count, unit]) => `${number(count)} ${unit}`).join(" ");
}
