/**
 * RAM with a file behind it, for tests that count what it takes of the host.
 *
 * @module
 */
import { Arena } from "../../../machine/arena.ts";
import type { GuestMemory } from "../../../machine/memory.ts";
import { guestMemory, type MemorySpec, openRam, type RamOptions } from "../../../machine/ram.ts";
import { close } from "../../../sys/files.ts";
import { Mapping } from "../../../sys/mapping.ts";

export class TestRam implements Disposable {
  readonly arena = new Arena();
  readonly spec: MemorySpec;
  readonly memory: GuestMemory;
  /** What was told of the host. */
  readonly log: string[] = [];

  constructor(options: RamOptions) {
    this.spec = openRam(options, (line) => this.log.push(line));
    this.memory = guestMemory(this.arena, this.spec);
  }

  /** Bytes of the host that the guest's memory takes. */
  get taken(): number {
    return Deno.statSync(`/proc/self/fd/${this.spec.fd}`).blocks! * 512;
  }

  [Symbol.dispose](): void {
    const { address, viewAddress, fd } = this.spec;
    const { length } = this.memory.bytes;
    new Mapping(address, length).unmap();
    if (viewAddress !== undefined) new Mapping(viewAddress, length).unmap();
    if (fd !== undefined) close(fd);
  }
}
