/**
 * A guest of a few bytes that looks at its time stamp counter all the time, and tells how long it did not.
 *
 * @module
 */
import { TINY_MARKER } from "./guest_files.ts";

/** To see how fast the counter is; answers come some milliseconds late. */
const CALIBRATION_MS = 3000;
/** Two numbers of 64 bits. */
const ANSWER_BYTES = 16;
const NEWLINE = 0x0A;

export class WatchingGuest {
  /** Bytes that its serial port has sent: whoever connects gets them all once more. */
  #sent = TINY_MARKER.length;
  #perMs = NaN;

  private constructor() {}

  /** The guest of the VMM that is asked at `socket`. */
  static async at(socket: string): Promise<WatchingGuest> {
    const guest = new WatchingGuest();
    const [first, began] = [await guest.#ask(socket), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, CALIBRATION_MS));
    const last = await guest.#ask(socket);
    guest.#perMs = (last.counter - first.counter) / (performance.now() - began);
    return guest;
  }

  /** The longest time that it did not look at its clock since it was last asked, whoever runs it now. */
  async longestMs(socket: string): Promise<number> {
    return (await this.#ask(socket)).longest / this.#perMs;
  }

  async #ask(socket: string): Promise<{ counter: number; longest: number }> {
    using serial = await Deno.connect({ transport: "unix", path: socket });
    await serial.write(new TextEncoder().encode('{"op":"serial"}\n'));
    const one = new Uint8Array(1);
    while (one[0] !== NEWLINE) await fill(serial, one);
    await fill(serial, new Uint8Array(this.#sent));
    await serial.write(new TextEncoder().encode("?"));
    const answer = new Uint8Array(ANSWER_BYTES);
    await fill(serial, answer);
    this.#sent += ANSWER_BYTES;
    const [counter, longest] = new BigUint64Array(answer.buffer);
    return { counter: Number(counter), longest: Number(longest) };
  }
}

async function fill(from: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const n = await from.read(bytes.subarray(at));
    if (n === null) throw new Error("Cannot measure the guest: its serial port was hung up");
    at += n;
  }
}
