/** How values become frames. */

import { isMap, ProtocolViolation, type WireMap } from "./protocol.ts";

export interface Codec {
  readonly subprotocol: string;
  encode(value: unknown): string | Uint8Array<ArrayBuffer>;
  decode(frame: string | Uint8Array): unknown;
}

/** The maps in a frame, which holds one or an array of them. Throws: ProtocolViolation. */
export function readFrame(codec: Codec, data: unknown): WireMap[] {
  let value: unknown;
  try {
    value = codec.decode(data instanceof ArrayBuffer ? new Uint8Array(data) : (data as string));
  } catch (error) {
    throw new ProtocolViolation(`undecodable frame: ${error}`);
  }
  const maps = Array.isArray(value) ? value : [value];
  if (!maps.every(isMap)) throw new ProtocolViolation("a frame must hold maps");
  return maps;
}
