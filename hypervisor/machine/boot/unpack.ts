/**
 * Takes the kernel out of a bzImage, as its own unpacker would (Linux's Documentation/arch/x86/
 * boot.rst, payload_offset).
 *
 * @module
 */
import { zlib } from "../../sys/zlib.ts";
import { LZ4_LEGACY_MAGIC, unpackLz4 } from "./lz4.ts";

/** More than any kernel has: what claims to be larger is not unpacked. */
export const MAX_UNPACKED_BYTES = 512 * 2 ** 20;

/** Host programs that unpack a file's content to their output, for what is not at hand here. */
const PROGRAMS: readonly (readonly [magic: readonly number[], command: string])[] = [
  [[0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz -dcq"],
  [[0x5D, 0x00, 0x00], "xz -dcq --format=lzma"],
  [[0x42, 0x5A, 0x68], "bzip2 -dc"],
];

/**
 * Unpacks a bzImage's payload into the file `target`, with a folder beside it that may be written
 * to; its bytes, or an error that says why not.
 */
export function unpackPayload(payload: Uint8Array, scratch: string): Uint8Array {
  if (payload.length < 16) throw new SyntaxError("there is no payload");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  // Behind the packed bytes is the length of the unpacked ones; gzip has it there itself.
  const length = view.getUint32(payload.length - 4, true);
  if (length > MAX_UNPACKED_BYTES) throw new RangeError(`it claims to unpack to ${length} bytes`);
  const packed = payload.subarray(0, -4);
  const begins = (magic: readonly number[]) => magic.every((byte, i) => payload[i] === byte);
  let bytes: Uint8Array;
  if (begins([0x1F, 0x8B])) {
    bytes = zlib().gunzipSync(payload, { maxOutputLength: length });
  } else if (begins([0x28, 0xB5, 0x2F, 0xFD])) {
    bytes = zlib().zstdDecompressSync(packed, { maxOutputLength: length });
  } else if (view.getUint32(0, true) === LZ4_LEGACY_MAGIC) {
    bytes = unpackLz4(packed, length);
  } else if (begins([0x7F, 0x45, 0x4C, 0x46])) {
    bytes = payload;
  } else {
    const program = PROGRAMS.find(([magic]) => begins(magic));
    if (program === undefined) throw new SyntaxError("it is packed in a way that is not known");
    bytes = runProgram(program[1], { packed, length, scratch });
  }
  return bytes;
}

/** Never takes more than the declared length from a program, however much that makes of its input. */
function runProgram(
  command: string,
  { packed, length, scratch }: { packed: Uint8Array; length: number; scratch: string },
): Uint8Array {
  const input = `${scratch}.packed`;
  const output = `${scratch}.unpacked`;
  try {
    Deno.writeFileSync(input, packed, { mode: 0o600 });
    const script = `${command} < "$0" | head -c "$1" > "$2"`;
    const { success, stderr } = new Deno.Command("sh", {
      args: ["-c", script, input, String(length), output],
      stdin: "null",
    }).outputSync();
    const bytes = success ? Deno.readFileSync(output) : new Uint8Array();
    if (bytes.length !== length) {
      const said = new TextDecoder().decode(stderr).trim();
      throw new Error(`"${command}" did not unpack it${said && `: ${said}`}`);
    }
    return bytes;
  } finally {
    for (const path of [input, output]) {
      try {
        Deno.removeSync(path);
      } catch {
        // It was not made.
      }
    }
  }
}
