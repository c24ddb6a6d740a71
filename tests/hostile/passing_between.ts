/**
 * Stands between two VMMs of one host and carries what they say, with the descriptors that go along, and
 * tells of each frame before it goes on: so that one of them can be killed right then.
 *
 * What a process had said before it was killed still comes, as with a connection of one host.
 *
 * @module
 */
import { close } from "../../hypervisor/sys/files.ts";
import { receiveDescriptors, sendDescriptors } from "../../hypervisor/sys/passed_descriptors.ts";
import {
  accept,
  connectUnix,
  listenUnix,
  send,
  shutdownSending,
  WOULD_BLOCK,
} from "../../hypervisor/sys/unix_sockets.ts";
import { encodeFrame, FrameHeader, KINDS } from "../../hypervisor/vmm/migrate/frames.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function join(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

export class PassingBetween implements Disposable {
  readonly socket: string;
  /** What was passed on, in order. */
  readonly seen: string[] = [];
  readonly done: Promise<unknown>;
  readonly #listener: number;

  constructor(options: {
    folder: string;
    to: string;
    /** Before it goes on. */
    passing(what: string): void | Promise<void>;
    /** What becomes of the greeting. */
    change?(greeting: string): string;
  }) {
    this.socket = `${options.folder}/between-${crypto.randomUUID().slice(0, 8)}`;
    this.#listener = listenUnix(this.socket);
    this.done = this.#run(options);
  }

  async #run(
    { to, passing, change = (it) => it }: {
      to: string;
      passing(what: string): void | Promise<void>;
      change?(greeting: string): string;
    },
  ) {
    let giver = WOULD_BLOCK;
    for (; giver === WOULD_BLOCK; await pause()) giver = accept(this.#listener);
    const taker = connectUnix(to);
    const carry = async (from: number, into: number) => {
      try {
        const side = new Side(from, into);
        for (let header; (header = await side.take(FrameHeader.size));) {
          const { kind, length } = FrameHeader.at(header.buffer, 0);
          this.seen.push(KINDS[kind]);
          await passing(KINDS[kind]);
          const body = await side.take(length);
          if (body === undefined) break;
          const said = KINDS[kind] === "hello"
            ? encodeFrame("hello", encode(change(new TextDecoder().decode(body))))
            : join(header, body);
          await side.put(said);
        }
      } catch {
        // Who is to hear it is gone.
      }
    };
    // What was said is passed on to its end, and then nothing more can come from there.
    const ways = [[giver, taker], [taker, giver]].map(async ([from, into]) => {
      await carry(from, into);
      try {
        shutdownSending(into);
      } catch {
        // Nobody is there any more.
      }
    });
    await Promise.all(ways);
    [giver, taker].forEach(close);
  }

  [Symbol.dispose](): void {
    close(this.#listener);
  }
}

class Side {
  readonly #from: number;
  readonly #into: number;
  #descriptors: number[] = [];

  constructor(from: number, into: number) {
    this.#from = from;
    this.#into = into;
  }

  /** So many bytes; undefined at the end. */
  async take(length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = receiveDescriptors(this.#from, bytes.subarray(at), this.#descriptors);
      if (n === WOULD_BLOCK) await pause();
      else if (n === 0) return undefined;
      else at += n;
    }
    return bytes;
  }

  async put(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const fds = this.#descriptors;
      const rest = bytes.subarray(at);
      const n = fds.length > 0 ? sendDescriptors(this.#into, rest, fds) : send(this.#into, rest);
      if (n === WOULD_BLOCK) await pause();
      else {
        at += n;
        fds.splice(0).forEach(close);
      }
    }
  }
}
