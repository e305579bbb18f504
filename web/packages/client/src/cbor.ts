import { decode, encode } from "cborg";
import type { Codec } from "./codec.ts";

/** Binary frames: smaller, for programs. Maps keep their order; integers are as short as they can be. */
export const cbor: Codec = {
  subprotocol: "chat.v1.cbor",
  encode: (value) => encode(value, { mapSorter: () => 0, float64: true, ignoreUndefinedProperties: true }),
  decode: (frame) =>
    decode(frame as Uint8Array, {
      allowIndefinite: false,
      allowUndefined: false,
      rejectDuplicateMapKeys: true,
    }),
};
