/**
 * The threads of a guest's vCPUs. The first vCPU alone runs a guest's first instructions, and
 * starting a thread takes the host longer than anything else at a start: so the others' threads are
 * started when the first one is about to enter the guest, which wakes them much later.
 *
 * @module
 */
import type { GuestLife } from "./lifecycle.ts";
import type { VcpuSpec } from "./vcpu_worker.ts";

/** Workers are files beside this one: `.ts` in the sources, `.js` in the appliance's bundle. */
const EXTENSION = import.meta.url.endsWith(".js") ? ".js" : ".ts";

export class VcpuThreads {
  readonly #first: Worker;
  #waiting: readonly VcpuSpec[] = [];

  /** Starts the first one's, which waits for what it is to do. */
  constructor() {
    this.#first = thread(0);
  }

  /** Says what to do: to the first one now, to the others when they are started. */
  start(specs: readonly VcpuSpec[]): void {
    const [first, ...others] = specs;
    this.#waiting = others;
    this.#first.postMessage(first);
  }

  /** Starts the others when the first one is there, and none where the guest has ended before. */
  look(life: GuestLife): void {
    if (this.#waiting.length === 0) return;
    const ended = life.hasEnded;
    if (!ended && life.threads === 0) return;
    const specs = this.#waiting;
    this.#waiting = [];
    for (const spec of specs) {
      if (ended) life.setStopped(spec.id);
      else thread(spec.id).postMessage(spec);
    }
  }
}

function thread(id: number): Worker {
  const module = new URL(`./vcpu_worker${EXTENSION}`, import.meta.url);
  return new Worker(module, { type: "module", name: `vcpu${id}` });
}
