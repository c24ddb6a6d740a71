/**
 * Memory that follows its guest, at the side to which it comes: here is what the main thread has of it. It may
 * itself touch a page that is missing and then stands still until that has come, so another thread has the
 * connection (`arrival_worker.ts`): it asks for pages, puts them in, and passes on what else is said.
 *
 * Which mapping: RAM of the kind that is taken here is one file in memory that is mapped once, and all threads
 * of this process, KVM, vhost and io_uring use that mapping. It is the one that is watched for missing pages.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../machine/dirty_pages.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import { close } from "../../sys/files.ts";
import { adviseHugePages, refuseHugePages } from "../../sys/memory_advice.ts";
import { socketPair } from "../../sys/unix_sockets.ts";
import { checkUserFaults, UserFaults } from "../../sys/userfaultfd.ts";
import type { ArrivalSpec } from "../arrival_worker.ts";
import type { GuestConfig } from "../control.ts";
import type { EventLoop } from "../event_loop.ts";
import type { PluggedDevice } from "../hotplug.ts";
import type { FrameKind } from "./frames.ts";
import { Link, type LinkHost } from "./link.ts";

/** Workers are files in the folder above: `.ts` in the sources, `.js` in the appliance's bundle, beside this. */
const WORKER = import.meta.url.endsWith(".js") ? "./arrival_worker.js" : "../arrival_worker.ts";

/** Why memory cannot follow a guest with this plugged in to this host; undefined where it can. */
export function whyNotFollow(
  { memory, disks }: GuestConfig,
  plugged: readonly PluggedDevice[],
): string | undefined {
  const { hugePages, mergeable = false, hotplugMiB = 0 } = memory ?? {};
  if (hugePages === "2M" || hugePages === "1G") return "its memory is of a pool of huge pages";
  if (mergeable) return "its memory may be merged";
  if (hotplugMiB > 0) return "memory can be added to it";
  const pluggedDisks = plugged.flatMap(({ device }) => "disk" in device ? device.disk : []);
  if ([...disks, ...pluggedDisks].some(({ pinMemory }) => pinMemory)) {
    return "a disk pins its memory";
  }
  try {
    checkUserFaults();
  } catch (error) {
    return (error as Error).message;
  }
}

export interface ArrivalOptions {
  loop: EventLoop;
  /** Of which nothing is used yet. */
  memory: MemorySpec;
  /** The connection to whoever has the pages. */
  fd: number;
  /** Where it is written why this VMM ended, should the main thread stand still for good. */
  lastWord: string;
  /** Its memory takes huge pages when all has come. */
  hugePages: boolean;
  /** Hears what the other VMM says that is not of pages; of these it hears `arrived` when all are there. */
  host: LinkHost;
}

export class Arrival {
  /** What is to follow, once that is known. */
  readonly pages: DirtyPages;
  readonly #memory: MemorySpec;
  readonly #hugePages: boolean;
  readonly #faults: UserFaults;
  readonly #link: Link;
  #hasBegun = false;
  /** Not all of it will come: the process is to end, and the thread sees to that where this one cannot. */
  isLost = false;

  /** Starts the thread, which does nothing before {@linkcode begin}. */
  constructor({ loop, memory, fd, lastWord, hugePages, host }: ArrivalOptions) {
    this.#memory = memory;
    this.#hugePages = hugePages;
    this.pages = DirtyPages.of(memory.length);
    // Of a huge page a part cannot be missing.
    refuseHugePages(memory.address, memory.length);
    const faults = this.#faults = UserFaults.open();
    const [ours, theirs] = socketPair();
    this.#link = new Link(ours, { loop, host });
    const worker = new Worker(new URL(WORKER, import.meta.url), {
      type: "module",
      name: "arrival",
    });
    worker.postMessage(
      {
        ...{ fd, mainFd: theirs, faultsFd: faults.fd, memory, lastWord },
        pages: this.pages.buffer,
      } satisfies ArrivalSpec,
    );
  }

  /** Whether what is said is still passed on. */
  get isOpen(): boolean {
    return this.#link.isOpen && !this.isLost;
  }

  /** How much is to come. */
  get leftBytes(): number {
    return this.pages.count * DIRTY_PAGE_BYTES;
  }

  /** From now on a page that is missing is waited for, and the thread has the connection. */
  begin(): void {
    this.#hasBegun = true;
    this.#faults.register(this.#memory.address, this.#memory.length);
    this.#link.say("welcome");
  }

  /** Has something said to the other VMM. */
  say(kind: FrameKind, body?: Uint8Array<ArrayBuffer>): void {
    this.#link.say(kind, body);
  }

  /** The thread, which has nothing more to do, ends. */
  close(): void {
    // One that has begun has closed it by now, or has to keep it: without it, missing pages would be zeros.
    if (!this.#hasBegun) close(this.#faults.fd);
    this.#link.close();
    if (this.#hugePages) adviseHugePages(this.#memory.address, this.#memory.length);
  }
}
