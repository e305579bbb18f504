import type { Codec } from "./codec.ts";

/** Text frames: what browsers read fastest, and people can read at all. */
export const json: Codec = {
  subprotocol: "chat.v1.json",
  encode: (value) => JSON.stringify(value),
  decode: (frame) => JSON.parse(frame as string),
};
