import { ceiling, highest, latest, path, type Series } from "./samples.ts";

interface Props {
  title: string;
  /** The first line is drawn strong; each has a name if there are several. */
  lines: readonly { name?: string; values: Series }[];
  format: (value: number) => string;
}

const WIDTH = 300;
const HEIGHT = 72;
/** A line that does not change shall not lie on the edge. */
const HEADROOM = 1.1;

/** A small line chart of the last minutes, with the newest value in figures. */
export function Chart({ title, lines, format }: Props) {
  const top = ceiling(HEADROOM * Math.max(...lines.map(({ values }) => highest(values))));
  const told = lines.map(({ name, values }) => {
    const now = latest(values);
    return { name, now: now === undefined ? "–" : format(now), most: format(highest(values)) };
  });
  const words = told.map(({ name, now, most }) => `${name ? `${name} ` : ""}${now}, at most ${most}`);
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title">{title}</span>
        <span className="chart-values">
          {told.map(({ name, now }, index) => (
            <span key={index} data-line={index}>
              {name && <small>{name} </small>}
              {now}
            </span>
          ))}
        </span>
      </figcaption>
      <div className="chart-plot">
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title} in the last five minutes: ${words.join("; ")}`}
        >
          <line x1="0" x2={WIDTH} y1="0.5" y2="0.5" />
          <line x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
          {lines.map(({ values }, index) => (
            <path key={index} data-line={index} d={path(values, top, WIDTH, HEIGHT)} />
          ))}
        </svg>
        <span className="chart-scale" aria-hidden="true">
          {format(top)}
        </span>
      </div>
    </figure>
  );
}
