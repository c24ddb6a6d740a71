/**
 * Guests on the segment that two PCs share: in each, a bridge joins its card and a tap, so that a guest
 * keeps its address and its connections when it goes from one to the other.
 *
 * @module
 */
import { LINK_NETWORK } from "../lab_pc/link.ts";
import { run } from "../setup/command.ts";

/** Who is where on the segment. */
export const ADDRESSES = {
  first: `${LINK_NETWORK}.1`,
  second: `${LINK_NETWORK}.2`,
  guest: `${LINK_NETWORK}.100`,
} as const;

/** The guest's, in either PC. */
export const SEGMENT_TAP = "segmenttap";
/** Where the first PC takes what guests send. */
export const STREAM_PORT = 7110;

/** The bridge in either PC. */
export const SEGMENT_BRIDGE = "segment";
const PATIENCE_MS = 30_000;
const LOOK_AGAIN_MS = 50;
/** More than what is in buffers on the way when its sender stands still. */
const GOES_ON_BYTES = 8 * 2 ** 20;

/** Whether this is the second PC. */
export const isOtherHost = () => Deno.env.get("LAB_HOST") === "2";

/** Puts this PC's card and a tap for a guest into one bridge, which takes the card's address over. */
export async function joinSegment(pc: "first" | "second"): Promise<void> {
  const mac = (await Deno.readTextFile("/sys/class/net/link/address")).trim();
  await run(["ip", "link", "add", SEGMENT_BRIDGE, "address", mac, "type", "bridge"]);
  await run(["ip", "tuntap", "add", "dev", SEGMENT_TAP, "mode", "tap", "vnet_hdr"]);
  await run(["ip", "addr", "flush", "dev", "link"]);
  for (const port of ["link", SEGMENT_TAP]) {
    await run(["ip", "link", "set", "dev", port, "master", SEGMENT_BRIDGE]);
    await run(["ip", "link", "set", "dev", port, "up"]);
  }
  await run(["ip", "addr", "add", `${ADDRESSES[pc]}/24`, "dev", SEGMENT_BRIDGE]);
  await run(["ip", "link", "set", SEGMENT_BRIDGE, "up"]);
}

/** Takes what guests send, one after the other. */
export class StreamEnd implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: ADDRESSES.first, port: STREAM_PORT });
  readonly #over: Promise<void>;
  #bytes = 0;

  constructor() {
    this.#over = this.#serve();
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      // A guest that has ended says nothing more, not even that.
      this.#read(connection).catch(() => {});
    }
  }

  async #read(connection: Deno.TcpConn): Promise<void> {
    using from = connection;
    const buffer = new Uint8Array(2 ** 18);
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) return;
      this.#bytes += count;
    }
  }

  /** Resolves once more has come than could have been on the way. */
  async goesOn(): Promise<void> {
    const enough = this.#bytes + GOES_ON_BYTES;
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#bytes < enough) {
      if (performance.now() > deadline) {
        throw new Error(`Cannot measure a move: nothing comes from the guest any more`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#over.catch(() => {});
  }
}
