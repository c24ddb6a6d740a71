/**
 * The threads of a guest's vCPUs. The first vCPU alone runs a guest's first instructions, and to
 * start a thread takes longer than anything else at a start: so the others' threads are started when
 * the first one has entered the guest, which wakes them much later.
 *
 * @module
 */
import type { EventLoop } from "./event_loop.ts";
import type { GuestLife } from "./lifecycle.ts";
import type { VcpuSpec } from "./vcpu_worker.ts";

/** Workers are files beside this one: `.ts` in the sources, `.js` in the appliance's bundle. */
const EXTENSION = import.meta.url.endsWith(".js") ? ".js" : ".ts";

/**
 * How long the first vCPU has the host for itself, in milliseconds: Linux wakes the others no earlier
 * than a tenth of a second after its start, and then waits for them.
 */
const HEAD_START_MS = 20;

export class VcpuThreads {
  readonly #loop: EventLoop;
  readonly #first: Worker;
  /** The others' that have been started before there is anything for them to do. */
  readonly #prepared = new Map<number, Worker>();
  #waiting: VcpuSpec[] = [];
  /** What is started is no guest's: the first thread waits for another then. */
  isRehearsing = false;
  #isStarting = false;

  /** Starts the first one's, which waits for what it is to do. */
  constructor(loop: EventLoop) {
    this.#loop = loop;
    this.#first = thread(0);
  }

  /** Starts those of all other vCPUs too, for a guest that is not to wait for them. */
  prepare(cpus: number): void {
    for (let id = 1; id < cpus; id++) this.#prepared.set(id, thread(id));
  }

  /** Says what to do: to those that are there now, to the others when they are started. */
  start(specs: readonly VcpuSpec[]): void {
    const [first, ...others] = specs;
    this.#first.postMessage({ ...first, isRehearsal: this.isRehearsing });
    for (const spec of others) this.#prepared.get(spec.id)?.postMessage(spec);
    this.#waiting = others.filter(({ id }) => !this.#prepared.has(id));
  }

  /** Starts the others when the first one is there, and none where the guest has ended before. */
  look(life: GuestLife): void {
    if (life.hasEnded) {
      for (const { id } of this.#waiting.splice(0)) life.setStopped(id);
    } else if (this.#waiting.length > 0 && !this.#isStarting && life.threads > 0) {
      this.#isStarting = true;
      this.#loop.after(HEAD_START_MS, () => this.#startNext());
    }
  }

  // One at a time: it keeps this thread, and the guest's output waits for that.
  #startNext(): void {
    const spec = this.#waiting.shift();
    if (!spec) return;
    thread(spec.id).postMessage(spec);
    this.#loop.after(0, () => this.#startNext());
  }
}

function thread(id: number): Worker {
  const module = new URL(`./vcpu_worker${EXTENSION}`, import.meta.url);
  return new Worker(module, { type: "module", name: `vcpu${id}` });
}
