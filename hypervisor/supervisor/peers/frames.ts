/**
 * What two supervisors say to each other, once each knows who the other is: frames, each a header and
 * its body.
 *
 * | frame     | body                                                                   |
 * | --------- | ---------------------------------------------------------------------- |
 * | `message` | JSON; what it may say is in `messages.ts`                              |
 * | `data`    | {@linkcode DataHead}, and bytes of a file from that position on         |
 * | `zeros`   | {@linkcode ZerosBody}: a range of a file that has become all zeros      |
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";

/** "DVPR" */
const MAGIC = 0x5250_5644;

export const FrameHeader = struct("peer_frame", { magic: "u32", kind: "u32", length: "n64" });
export const DataHead = struct("peer_data", { file: "u32", reserved: "u32", position: "n64" });
export const ZerosBody = struct("peer_zeros", {
  file: "u32",
  reserved: "u32",
  position: "n64",
  length: "n64",
});

const KINDS = ["message", "data", "zeros"] as const;
export type FrameKind = typeof KINDS[number];

/** The most bytes of a file in one frame. */
export const MAX_DATA_BYTES = 1 << 20;
/** More than the longest message: that of a guest with as many devices, and texts, as there may be. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

const LENGTHS: Readonly<Record<FrameKind, { least: number; most: number }>> = {
  message: { least: 2, most: MAX_MESSAGE_BYTES },
  data: { least: DataHead.size + 1, most: DataHead.size + MAX_DATA_BYTES },
  zeros: { least: ZerosBody.size, most: ZerosBody.size },
};
/** The longest body of any frame. */
export const MAX_BODY_BYTES = DataHead.size + MAX_DATA_BYTES;

/** What is wrong with what the other host says, or with the connection to it. */
export class PeerError extends Error {
  override readonly name = "PeerError";
}

export type Frame =
  | { kind: "message"; message: unknown }
  /** `bytes` are valid until the next frame is asked for. */
  | { kind: "data"; file: number; position: number; bytes: Uint8Array<ArrayBuffer> }
  | { kind: "zeros"; file: number; position: number; length: number };

function framed(kind: FrameKind, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(FrameHeader.size + length);
  bytes.set(FrameHeader.create({ magic: MAGIC, kind: KINDS.indexOf(kind), length }).$bytes);
  let at = FrameHeader.size;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function encodeMessage(message: unknown): Uint8Array<ArrayBuffer> {
  const body = new TextEncoder().encode(JSON.stringify(message));
  if (body.length > MAX_MESSAGE_BYTES) {
    throw new PeerError(`Cannot say it to the other host: it has ${body.length} bytes`);
  }
  return framed("message", body);
}

export function encodeData(
  file: number,
  position: number,
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return framed("data", DataHead.create({ file, position }).$bytes, bytes);
}

export function encodeZeros(
  file: number,
  range: { position: number; length: number },
): Uint8Array<ArrayBuffer> {
  return framed("zeros", ZerosBody.create({ file, ...range }).$bytes);
}

/** What a header announces; throws a {@linkcode PeerError} that says what is wrong with it. */
export function decodeHeader(bytes: Uint8Array<ArrayBuffer>): { kind: FrameKind; length: number } {
  const { magic, kind: number, length } = FrameHeader.at(bytes.buffer, bytes.byteOffset);
  if (magic !== MAGIC) throw wrong(`bad magic 0x${magic.toString(16)}`);
  const kind = KINDS[number];
  if (kind === undefined) throw wrong(`a frame of kind ${number}`);
  const { least, most } = LENGTHS[kind];
  if (length < least || length > most) {
    throw wrong(`"${kind}" has ${length} bytes, and ${least} to ${most} are allowed`);
  }
  return { kind, length };
}

/** A frame, of which the body has come; throws a {@linkcode PeerError} that says what is wrong with it. */
export function decodeBody(kind: FrameKind, body: Uint8Array<ArrayBuffer>): Frame {
  switch (kind) {
    case "message":
      try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
        return { kind, message: JSON.parse(text) };
      } catch {
        throw wrong("a message is no JSON");
      }
    case "data": {
      const { file, position } = DataHead.at(body.buffer, body.byteOffset);
      const bytes = body.subarray(DataHead.size);
      checkRange(position, bytes.length);
      return { kind, file, position, bytes };
    }
    case "zeros": {
      const { file, position, length } = ZerosBody.at(body.buffer, body.byteOffset);
      checkRange(position, length);
      return { kind, file, position, length };
    }
  }
}

function checkRange(position: number, length: number) {
  if (!Number.isSafeInteger(position + length) || !Number.isSafeInteger(position)) {
    throw wrong(`${length} bytes at ${position}`);
  }
}

function wrong(what: string): PeerError {
  return new PeerError(`Cannot understand the other host: ${what}`);
}
