/** Whom a text mentions, as the server counts it (`tests/vectors/mentions.json`). */

const MENTION = /(?<![\p{L}\p{N}_@])@(?:\[([^[\]\n]{1,32})\]|([\p{L}\p{N}_.-]{1,32}))/gu;
const PLAIN = /^[\p{L}\p{N}_.-]*[\p{L}\p{N}_]$/u;
const BRACKETED = /^[^[\]\n]{1,32}$/u;
const MOST = 50;

/** The names that a text mentions, each once: `@bob`, or `@[New Bob]` for names of several words. */
export function mentionsIn(text: string): string[] {
  if (!text.includes("@")) return [];
  const names = [...text.matchAll(MENTION)].map(
    ([, whole, word]) => whole?.trim() || (word ?? "").replace(/[.-]+$/, ""),
  );
  return [...new Set(names.filter(Boolean))].slice(0, MOST);
}

/** What to write to mention somebody; undefined for a name that cannot be mentioned. */
export function mentionOf(name: string): string | undefined {
  if (PLAIN.test(name) && name.length <= 32) return `@${name}`;
  return BRACKETED.test(name) ? `@[${name}]` : undefined;
}

/** Names that are the same but for their spelling have the same form. */
export function foldName(name: string): string {
  return name.normalize("NFKC").toLowerCase().trim().replace(/\s+/g, " ");
}
