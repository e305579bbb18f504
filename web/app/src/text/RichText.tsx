import { foldName } from "chat-gateway-client";
import { Fragment, memo, type ReactNode } from "react";
import { type Block, type Inline, parse } from "./markdown.ts";

interface Props {
  text: string;
  /** The reader's own name: mentions of it stand out. */
  self: string;
}

/** Somebody's text. Everything in it becomes a text node or one of the elements below, never markup. */
export const RichText = memo(function RichText({ text, self }: Props) {
  return <div className="rich-text">{parse(text).map((block, index) => drawBlock(block, index, self))}</div>;
});

function drawBlock(block: Block, key: number, self: string): ReactNode {
  switch (block.type) {
    case "code":
      return (
        <pre key={key}>
          <code>{block.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote key={key}>{drawLines(block.lines, self)}</blockquote>;
    case "list": {
      const items = block.items.map((item, index) => <li key={index}>{drawInline(item, self)}</li>);
      return block.ordered ? <ol key={key}>{items}</ol> : <ul key={key}>{items}</ul>;
    }
    case "paragraph":
      return <p key={key}>{drawLines(block.lines, self)}</p>;
  }
}

function drawLines(lines: Inline[][], self: string): ReactNode {
  return lines.map((line, index) => (
    <Fragment key={index}>
      {index > 0 && <br />}
      {drawInline(line, self)}
    </Fragment>
  ));
}

function drawInline(parts: Inline[], self: string): ReactNode {
  return parts.map((part, index) => drawPart(part, index, self));
}

function drawPart(part: Inline, index: number, self: string): ReactNode {
  if (typeof part === "string") return part;
  switch (part.type) {
    case "strong":
      return <strong key={index}>{drawInline(part.children, self)}</strong>;
    case "emphasis":
      return <em key={index}>{drawInline(part.children, self)}</em>;
    case "strike":
      return <s key={index}>{drawInline(part.children, self)}</s>;
    case "code":
      return <code key={index}>{part.text}</code>;
    case "mention": {
      const mine = foldName(part.name) === foldName(self);
      return (
        <span key={index} className={mine ? "mention mention-mine" : "mention"}>
          @{part.name}
        </span>
      );
    }
    case "link":
      return (
        <a key={index} href={part.href} title={part.href} target="_blank" rel="noopener noreferrer nofollow">
          {drawInline(part.children, self)}
        </a>
      );
  }
}
