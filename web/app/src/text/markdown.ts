/**
 * A small subset of Markdown as a tree of plain values, which React draws as text and nothing else.
 *
 * Reads once from left to right: a delimiter that finds no partner is text, and is not looked for again, so the
 * time is linear in the length whatever is typed.
 */

export type Inline =
  | string
  | { type: "strong" | "emphasis" | "strike"; children: Inline[] }
  | { type: "code"; text: string }
  | { type: "link"; href: string; children: Inline[] }
  | { type: "mention"; name: string };

export type Block =
  | { type: "paragraph"; lines: Inline[][] }
  | { type: "code"; text: string }
  | { type: "quote"; lines: Inline[][] }
  | { type: "list"; ordered: boolean; items: Inline[][] };

const MAX_DEPTH = 4;
const FENCE = "```";
const QUOTE = /^> ?/;
const BULLET = /^[-*] +(?=\S)/;
const NUMBERED = /^\d{1,3}[.)] +(?=\S)/;
const PAIRS = [
  ["**", "strong"],
  ["~~", "strike"],
  ["*", "emphasis"],
  ["_", "emphasis"],
] as const;
const URL_START = /https?:\/\//iy;
const URL_REST = /[^\s<>"'`]+/y;
const MENTION = /@(?:\[([^[\]\n]{1,32})\]|([\p{L}\p{N}_.-]{1,32}))/uy;
const WORD = /[\p{L}\p{N}_@]/u;
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** The blocks of a message. */
export function parse(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let index = 0; index < lines.length; ) {
    const [block, next] = readBlock(lines, index);
    if (block) blocks.push(block);
    index = next;
  }
  return blocks;
}

/** An address that may be followed, or undefined. */
export function safeHref(address: string): string | undefined {
  try {
    const url = new URL(address);
    return PROTOCOLS.has(url.protocol) && !url.username && !url.password ? url.href : undefined;
  } catch {
    return undefined;
  }
}

function readBlock(lines: string[], start: number): [Block | undefined, number] {
  const line = lines[start] as string;
  if (line.startsWith(FENCE)) {
    const end = lines.indexOf(FENCE, start + 1);
    if (end > start) return [{ type: "code", text: lines.slice(start + 1, end).join("\n") }, end + 1];
  }
  if (line.trim() === "") return [undefined, start + 1];
  if (QUOTE.test(line)) {
    const [quoted, next] = take(lines, start, QUOTE);
    return [{ type: "quote", lines: quoted }, next];
  }
  for (const marker of [BULLET, NUMBERED]) {
    if (!marker.test(line)) continue;
    const [items, next] = take(lines, start, marker);
    return [{ type: "list", ordered: marker === NUMBERED, items }, next];
  }
  return readParagraph(lines, start);
}

function readParagraph(lines: string[], start: number): [Block, number] {
  let end = start + 1;
  while (end < lines.length && !startsBlock(lines[end] as string)) end++;
  return [{ type: "paragraph", lines: lines.slice(start, end).map((line) => inline(line)) }, end];
}

function startsBlock(line: string): boolean {
  return (
    line.trim() === "" || line.startsWith(FENCE) || [QUOTE, BULLET, NUMBERED].some((it) => it.test(line))
  );
}

function take(lines: string[], start: number, marker: RegExp): [Inline[][], number] {
  let end = start;
  while (end < lines.length && marker.test(lines[end] as string)) end++;
  return [lines.slice(start, end).map((line) => inline(line.replace(marker, ""))), end];
}

/** One line. */
export function inline(text: string, depth = 0): Inline[] {
  return new Scanner(text, depth).read();
}

class Scanner {
  readonly #text: string;
  readonly #depth: number;
  readonly #parts: Inline[] = [];
  /** Delimiters without a partner from here on. */
  readonly #unpaired = new Set<string>();
  #plainFrom = 0;
  #at = 0;

  constructor(text: string, depth: number) {
    this.#text = text;
    this.#depth = depth;
  }

  read(): Inline[] {
    while (this.#at < this.#text.length) {
      if (!this.#readSpecial()) this.#at++;
    }
    this.#flush(this.#at);
    return this.#parts;
  }

  #readSpecial(): boolean {
    switch (this.#text[this.#at]) {
      case "`":
        return this.#readCode();
      case "[":
        return this.#readLink();
      case "h":
      case "H":
        return this.#readAddress();
      case "@":
        return this.#readMention();
      case "*":
      case "_":
      case "~":
        return this.#depth < MAX_DEPTH && this.#readPair();
      default:
        return false;
    }
  }

  #readCode(): boolean {
    const end = this.#find("`", this.#at + 1);
    if (end <= this.#at + 1) return false;
    return this.#put({ type: "code", text: this.#text.slice(this.#at + 1, end) }, end + 1);
  }

  #readPair(): boolean {
    for (const [delimiter, type] of PAIRS) {
      if (!this.#text.startsWith(delimiter, this.#at)) continue;
      const start = this.#at + delimiter.length;
      if (delimiter === "_" && this.#followsWord()) return false;
      if (/\s|^$/.test(this.#text.charAt(start))) return false;
      const end = this.#find(delimiter, start + 1);
      if (end < 0 || /\s/.test(this.#text.charAt(end - 1))) continue;
      const children = inline(this.#text.slice(start, end), this.#depth + 1);
      return this.#put({ type, children }, end + delimiter.length);
    }
    return false;
  }

  /** `[text](address)`; the text is drawn, the address is shown on hovering. */
  #readLink(): boolean {
    const middle = this.#find("](", this.#at + 1);
    const end = middle < 0 ? -1 : this.#find(")", middle + 2);
    if (middle <= this.#at + 1 || end < 0) return false;
    const href = safeHref(this.#text.slice(middle + 2, end));
    const label = this.#text.slice(this.#at + 1, middle);
    if (!href || label.includes("[")) return false;
    return this.#put({ type: "link", href, children: [label] }, end + 1);
  }

  #readAddress(): boolean {
    URL_START.lastIndex = this.#at;
    if (this.#followsWord() || !URL_START.test(this.#text)) return false;
    URL_REST.lastIndex = this.#at;
    const found = URL_REST.exec(this.#text)?.[0] ?? "";
    const address = withoutTail(found);
    const href = safeHref(address);
    return href ? this.#put({ type: "link", href, children: [address] }, this.#at + address.length) : false;
  }

  #readMention(): boolean {
    MENTION.lastIndex = this.#at;
    const found = this.#followsWord() ? null : MENTION.exec(this.#text);
    if (!found) return false;
    const [written, whole] = found;
    const name = whole?.trim() || withoutEnd(written.slice(1));
    if (!name || name.startsWith("[")) return false;
    return this.#put({ type: "mention", name }, this.#at + (whole ? written.length : 1 + name.length));
  }

  #followsWord(): boolean {
    return this.#at > 0 && WORD.test(this.#text.charAt(this.#at - 1));
  }

  #find(delimiter: string, from: number): number {
    if (this.#unpaired.has(delimiter)) return -1;
    const found = this.#text.indexOf(delimiter, from);
    if (found < 0) this.#unpaired.add(delimiter);
    return found;
  }

  #put(part: Inline, next: number): true {
    this.#flush(this.#at);
    this.#parts.push(part);
    this.#at = this.#plainFrom = next;
    return true;
  }

  #flush(end: number): void {
    if (end > this.#plainFrom) this.#parts.push(this.#text.slice(this.#plainFrom, end));
  }
}

/** The name without what ends the sentence that it stands in. */
function withoutEnd(name: string): string {
  return name.replace(/[.-]+$/, "");
}

/** What follows an address in a sentence is not part of it; a bracket that was opened in it is. */
function withoutTail(address: string): string {
  const trimmed = address.replace(/[.,;:!?*_~\]]+$/, "");
  if (!trimmed.endsWith(")") || trimmed.includes("(")) return trimmed;
  return withoutTail(trimmed.slice(0, -1));
}
