/** A disc with the first letter; its colour is always the same for the same name. */

const COLOURS = 8;

interface Props {
  name: string;
  small?: boolean;
  /** Whether they are here; undefined shows no dot. */
  present?: boolean | undefined;
}

export function Avatar({ name, small = false, present }: Props) {
  return (
    <span
      className={small ? "avatar avatar-small" : "avatar"}
      data-colour={colourOf(name)}
      aria-hidden="true"
    >
      {firstLetter(name)}
      {present !== undefined && <span className="presence" data-present={present} />}
    </span>
  );
}

function colourOf(name: string): number {
  let sum = 0;
  for (const character of name.toLowerCase()) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return sum % COLOURS;
}

function firstLetter(name: string): string {
  const [first = "?"] = new Intl.Segmenter().segment(name.trim() || "?");
  return typeof first === "string" ? first : first.segment.toLocaleUpperCase();
}
