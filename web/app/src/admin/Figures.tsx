import { decimal, number, perSecond } from "../format.ts";
import type { Overview } from "./api.ts";
import { Chart } from "./Chart.tsx";
import { rates, type Sample, series } from "./samples.ts";

/** The node's figures over the last five minutes. */
export function Figures({ samples }: { samples: readonly Sample[] }) {
  const quantiles = (of: "latency_ms" | "commit_ms" | "event_loop_lag_ms") =>
    (["p99", "p50"] as const).map((name) => ({
      name,
      values: series(samples, (overview: Overview) => overview[of]?.[name]),
    }));
  const milliseconds = (value: number) => `${decimal(value)} ms`;
  const connections = series(samples, (overview) => overview.connections);
  return (
    <section className="charts" aria-label="Figures">
      <Chart title="Connections" lines={[{ values: connections }]} format={number} />
      <Chart title="Messages a second" lines={[{ values: rates(samples, "messages") }]} format={decimal} />
      <Chart
        title="Deliveries a second"
        lines={[{ values: rates(samples, "deliveries") }]}
        format={decimal}
      />
      <Chart title="Send to receive" lines={quantiles("latency_ms")} format={milliseconds} />
      <Chart title="Commit" lines={quantiles("commit_ms")} format={milliseconds} />
      <Chart title="Event loop behind" lines={quantiles("event_loop_lag_ms")} format={milliseconds} />
      <Chart
        title="Traffic"
        lines={[
          { name: "out", values: rates(samples, "bytes_out") },
          { name: "in", values: rates(samples, "bytes_in") },
        ]}
        format={perSecond}
      />
      <Chart
        title="Slow readers cut off"
        lines={[{ values: series(samples, (overview) => overview.slow_consumers) }]}
        format={number}
      />
    </section>
  );
}
