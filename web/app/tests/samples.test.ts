import { expect, test } from "vitest";
import type { Overview } from "../src/admin/api.ts";
import { added, ceiling, KEPT, path, rates, type Sample, series } from "../src/admin/samples.ts";
import { duration, perSecond } from "../src/format.ts";

function sample(at: number, figures: Partial<Overview> | undefined): Sample {
  const overview = { node: "n1", uptime_seconds: at / 1000, messages: 0, ...figures } as Overview;
  return { at, overview: figures && overview };
}

test("a rate is the difference of a counter by the seconds between", () => {
  const samples = [
    sample(0, { messages: 10 }),
    sample(2000, { messages: 16 }),
    sample(6000, { messages: 16 }),
  ];
  expect(rates(samples, "messages")).toEqual([undefined, 3, 0]);
});

test("a node that began anew, another one, and a silent one give no rate", () => {
  const samples = [
    sample(10_000, { messages: 100 }),
    sample(12_000, { messages: 3, uptime_seconds: 1 }),
    sample(14_000, { messages: 500, node: "n2", uptime_seconds: 900 }),
    sample(16_000, undefined),
    sample(18_000, { messages: 600, node: "n2", uptime_seconds: 904 }),
  ];
  expect(rates(samples, "messages")).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

test("only the last minutes are kept", () => {
  let samples: Sample[] = [];
  for (let n = 0; n < KEPT + 20; n++) samples = added(samples, sample(n, { connections: n }));
  expect(samples).toHaveLength(KEPT);
  expect(series(samples, ({ connections }) => connections).at(-1)).toBe(KEPT + 19);
});

test.each([
  [0, 1],
  [0.3, 0.5],
  [1, 1],
  [7, 10],
  [10, 10],
  [11, 20],
  [4711, 5000],
])("%d fits under %d", (value, top) => expect(ceiling(value)).toBeCloseTo(top));

test("a line ends at the right edge and is broken where nothing is known", () => {
  expect(path([1, undefined, 2, 2], 2, 149, 10)).toBe("M146.0 5.0M148.0 0.0L149.0 0.0");
  expect(path([], 1, 149, 10)).toBe("");
});

test("lengths of time and amounts of traffic are told in units that fit", () => {
  expect([0, 59, 3600, 90_061].map(duration)).toEqual(["0 s", "59 s", "1 h 0 min", "1 d 1 h"]);
  expect([0, 999, 1000, 1_234_567, 5e12].map(perSecond)).toEqual([
    "0 byte/s",
    "999 byte/s",
    "1 kB/s",
    "1.23 MB/s",
    "5,000 GB/s",
  ]);
});
