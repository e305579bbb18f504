/** Line icons on a grid of 20, drawn with the text's colour. */

const PATHS = {
  back: "M12.500 4.500 7 10l5.500 5.500",
  close: "m5 5 10 10M15 5 5 15",
  check: "m4.500 10.500 3.500 3.500 7.500-8",
  delete: "M4 5.500h12M8 5.500V4h4v1.500M5.500 5.500 6.200 16h7.600l.7-10.500M8.500 8.500v5M11.500 8.500v5",
  down: "M10 4v12M4.500 10.500 10 16l5.500-5.500",
  edit: "m4 16 .8-3.500L13.300 4l2.700 2.700-8.500 8.500L4 16ZM11.500 6l2.500 2.500",
  hash: "M8 3.500 6.500 16.500M13.500 3.500 12 16.500M3.500 7.500h13M3.500 12.500h13",
  leave: "M8 4H4.500v12H8M13 6.500l3.500 3.500-3.500 3.500M8 10h8",
  lock: "M5 9h10v7.500H5V9ZM7 9V6.500a3 3 0 0 1 6 0V9",
  members:
    "M7.500 9.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 16.500c.3-3 2.500-5 5.500-5s5.200 2 5.500 5M13 4a2.800 2.800 0 0 1 0 5.300M15 12c1.700.7 2.800 2.300 3 4.500",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  plus: "M10 4v12M4 10h12",
  retry: "M15.500 10A5.500 5.500 0 1 1 13.800 6L16 8M16 4v4h-4",
  search: "M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11ZM13 13l4 4",
  send: "M3.500 10 16.500 4 13 16.500l-3-5.500-6.500-1ZM10 11l6.500-7",
  theme: "M10 3a7 7 0 1 0 0 14ZM10 3a7 7 0 0 1 0 14",
  up: "M4.500 12.500 10 7l5.500 5.500",
  warning: "M10 3.500 17.500 16.500h-15L10 3.500ZM10 8.500v3.500M10 14.500h.01",
} as const;

export type IconName = keyof typeof PATHS;

/** Says nothing to screen readers: what it stands on must have a name. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" data-icon={name} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
