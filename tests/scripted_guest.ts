/**
 * A guest in this process, whose main loop this thread is: for tests that look at its memory, which no
 * other process can.
 *
 * @module
 */
import type { GuestConfig } from "../hypervisor/vmm/control.ts";
import { EventLoop } from "../hypervisor/vmm/event_loop.ts";
import { Guest, type GuestEnd } from "../hypervisor/vmm/guest.ts";

/** How often conditions are looked at besides whenever something happens, in milliseconds. */
const TICK_MS = 5;

/** What a script waits for, one after the other. */
export type Script = Generator<() => boolean, void>;

export class ScriptedGuest {
  readonly guest: Guest;
  readonly loop = new EventLoop();
  /** Everything that the guest wrote. */
  output = "";
  /** What the VMM said. */
  readonly log: string[] = [];
  #searched = 0;

  constructor(config: GuestConfig) {
    const decoder = new TextDecoder("latin1");
    this.guest = new Guest(config, {
      loop: this.loop,
      host: {
        serial: (bytes) => this.output += decoder.decode(bytes),
        takesSerial: () => true,
        serialRoom: () => {},
        log: (line) => this.log.push(line),
        unplugged: () => {},
        paused: () => {},
      },
    });
  }

  /** Runs the main loop while the script goes through; then the guest is ended, if it has not. */
  run(script: Script, options: { patienceMs: number }): GuestEnd {
    const deadline = performance.now() + options.patienceMs;
    const tick = () => void this.loop.after(TICK_MS, tick);
    tick();
    let step = script.next();
    try {
      this.loop.run(() => {
        while (!step.done && step.value()) step = script.next();
        if (this.guest.end !== undefined) return true;
        if (performance.now() > deadline) {
          throw new Error(
            `The guest does not come on. Its last words: ${
              JSON.stringify(this.output.slice(-2000))
            }`,
          );
        }
        if (step.done) this.guest.kill();
        return false;
      });
    } finally {
      // Threads of a guest that is to go on would keep this process.
      if (this.guest.end === undefined) {
        this.guest.kill();
        this.loop.run(() => this.guest.end !== undefined);
      }
    }
    if (!step.done) {
      throw new Error(`The guest ended before its script: ${this.guest.end?.message} ${this.log}`);
    }
    return this.guest.end!;
  }

  type(text: string): void {
    const bytes = new TextEncoder().encode(text);
    if (this.guest.type(bytes) !== bytes.length) throw new Error(`Cannot type "${text}" at once`);
  }

  /** Waits until the guest has written what the pattern matches, behind what matched before. */
  *expect(pattern: RegExp): Generator<() => boolean, RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    yield () => (match = pattern.exec(this.output.slice(this.#searched))) !== null;
    this.#searched += match!.index + match![0].length;
    return match!;
  }

  *wait(ms: number): Script {
    const until = performance.now() + ms;
    yield () => performance.now() >= until;
  }

  /** Waits until no vCPU runs. */
  *pause(): Script {
    this.guest.pause("a test looks at it");
    yield () => this.guest.isParked;
  }
}
