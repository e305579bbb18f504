/** Figures over time: what was read every other second, and the rates between. */

import type { Overview } from "./api.ts";

export interface Sample {
  /** Milliseconds since 1970. */
  at: number;
  /** Undefined: nobody answered. */
  overview: Overview | undefined;
}

/** A value for each sample; undefined where nothing can be said. */
export type Series = (number | undefined)[];

type Counter = "messages" | "deliveries" | "bytes_in" | "bytes_out";

/** Five minutes, at one sample in two seconds. */
export const KEPT = 150;

export function added(samples: readonly Sample[], sample: Sample): Sample[] {
  return [...samples, sample].slice(-KEPT);
}

/** What `read` finds in each sample. */
export function series(samples: readonly Sample[], read: (overview: Overview) => number | undefined): Series {
  return samples.map(({ overview }) => overview && read(overview));
}

/** Differences of a counter, by the second. A node that has begun anew, or another one, is no difference. */
export function rates(samples: readonly Sample[], counter: Counter): Series {
  return samples.map((sample, index) => {
    const before = samples[index - 1];
    if (!before?.overview || !sample.overview || sample.at <= before.at) return undefined;
    const [old, now] = [before.overview, sample.overview];
    if (old.node !== now.node || now.uptime_seconds < old.uptime_seconds) return undefined;
    return (Math.max(0, now[counter] - old[counter]) * 1000) / (sample.at - before.at);
  });
}

/** The newest value that is known. */
export function latest(values: Series): number | undefined {
  return values.findLast((value) => value !== undefined);
}

export function highest(values: Series): number {
  return values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
}

/** A round number that `value` fits under: 1, 2 or 5 times a power of ten. */
export function ceiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value * 0.999) ?? 10) * power;
}

/** An SVG path over a field of `width` to `height`, the newest value at the right edge. Gaps stay gaps. */
export function path(values: Series, top: number, width: number, height: number): string {
  const step = width / (KEPT - 1);
  const left = width - step * (values.length - 1);
  let isDown = false;
  return values
    .map((value, index) => {
      if (value === undefined) {
        isDown = false;
        return "";
      }
      const command = isDown ? "L" : "M";
      isDown = true;
      const y = height - (Math.min(value, top) / top) * height;
      return `${command}${(left + step * index).toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
