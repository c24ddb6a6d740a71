/**
 * Many MSRs of a vCPU at once, as the kernel has them: nothing is made of each, for a guest stands still
 * meanwhile.
 *
 * @module
 */
import { check } from "../sys/errno.ts";
import { type BufferCall, ioctlBuffer } from "../sys/ioctl.ts";
import { KVM } from "./ioctls.ts";
import { MsrEntry, Msrs } from "./structs.ts";
import { type Msr, Vcpu } from "./vcpu.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What one call takes: fewer than 256. */
const MOST = 255;

/** An MSR, as one `kvm_msr_entry` after the other has it. */
export function packMsrs(msrs: readonly Msr[]): Bytes {
  const bytes = new Uint8Array(msrs.length * MsrEntry.size);
  msrs.forEach(([index, data], i) =>
    Object.assign(MsrEntry.at(bytes.buffer, i * MsrEntry.size), { index, data })
  );
  return bytes;
}

export function unpackMsrs(entries: Bytes): Msr[] {
  return Array.from({ length: entries.length / MsrEntry.size }, (_, i) => entryAt(entries, i));
}

function entryAt({ buffer, byteOffset }: Bytes, i: number): Msr {
  const { index, data } = MsrEntry.at(buffer, byteOffset + i * MsrEntry.size);
  return [index, data];
}

/** Those of these entries whose MSR is, or with `others` is not, `index`. */
export function entriesOf(entries: Bytes, index: number, { others = false } = {}): Bytes {
  const words = new Uint32Array(entries.buffer, entries.byteOffset, entries.length / 4);
  const kept = new Uint8Array(entries.length);
  let length = 0;
  let from = 0;
  // In runs, of which there are one or two.
  for (let at = 0; at <= entries.length; at += MsrEntry.size) {
    const keeps = at < entries.length && (words[at / 4] === index) !== others;
    if (keeps) continue;
    kept.set(entries.subarray(from, at), length);
    length += at - from;
    from = at + MsrEntry.size;
  }
  return kept.slice(0, length);
}

/** What one MSR holds; 0 where there is none. */
export function readMsr(fd: number, index: number, call: BufferCall = ioctlBuffer): bigint {
  const bytes = request(1);
  const words = new Uint32Array(bytes.buffer);
  words[Msrs.size / 4] = index;
  const read = check(call(fd, KVM.GET_MSRS, bytes), "get a vCPU's MSRs");
  return read === 0 ? 0n : new BigUint64Array(bytes.buffer)[(Msrs.size + 8) / 8];
}

function request(count: number): Bytes {
  const bytes = new Uint8Array(Msrs.size + count * MsrEntry.size);
  new Uint32Array(bytes.buffer)[0] = count;
  return bytes;
}

/** Reads the same MSRs of one vCPU after the other. */
export class MsrReader {
  /** As KVM takes them. */
  readonly #requests: readonly Bytes[];

  constructor(indices: readonly number[]) {
    const requests: Bytes[] = [];
    for (let at = 0; at < indices.length; at += MOST) {
      const batch = indices.slice(at, at + MOST);
      const bytes = request(batch.length);
      bytes.set(packMsrs(batch.map((index) => [index, 0n])), Msrs.size);
      requests.push(bytes);
    }
    this.#requests = requests;
  }

  /** Those that can be read, with what they hold. */
  read(fd: number, call: BufferCall = ioctlBuffer): Bytes {
    const parts: Bytes[] = [];
    for (const indices of this.#requests) {
      for (let bytes = indices.slice();;) {
        // It stops, without an error, at the first that cannot be read: that one is passed over.
        const read = check(call(fd, KVM.GET_MSRS, bytes), "get a vCPU's MSRs");
        const end = Msrs.size + read * MsrEntry.size;
        parts.push(bytes.subarray(Msrs.size, end));
        if (end + MsrEntry.size >= bytes.length) break;
        const rest = bytes.subarray(end + MsrEntry.size);
        bytes = request(rest.length / MsrEntry.size);
        bytes.set(rest, Msrs.size);
      }
    }
    return joined(parts);
  }
}

function joined(parts: readonly Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Sets MSRs. One that KVM refuses is no matter where it holds that already. */
export function applyMsrs(fd: number, entries: Bytes): void {
  const count = entries.length / MsrEntry.size;
  for (let at = 0; at < count;) {
    const some = Math.min(count - at, MOST);
    const bytes = request(some);
    bytes.set(entries.subarray(at * MsrEntry.size, (at + some) * MsrEntry.size), Msrs.size);
    // The result counts those that were set: it stops, without an error, at the first it refuses.
    const set = check(ioctlBuffer(fd, KVM.SET_MSRS, bytes), "set a vCPU's MSRs");
    at += set;
    if (set === some) continue;
    const [index, data] = entryAt(entries, at++);
    const [found] = new Vcpu(fd).msrs([index]);
    if (found?.[1] === data) continue;
    throw new RangeError(
      `Cannot set MSR 0x${index.toString(16)}: KVM refuses 0x${data.toString(16)}`,
    );
  }
}
