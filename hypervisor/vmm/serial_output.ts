/**
 * What a guest's serial port sends, on its way to whoever listens.
 *
 * @module
 */
import type { EventLoop } from "./event_loop.ts";
import type { GuestHost } from "./guest_host.ts";
import type { Pc } from "./pc.ts";

/** How often a busy serial port is looked at, in milliseconds: what a person does not notice. */
const PERIOD_MS = 10;

export class SerialOutput {
  readonly #port: Pc["serial"];
  readonly #loop: EventLoop;
  readonly #host: GuestHost;
  #isLookingSoon = false;

  constructor(port: Pc["serial"], { loop, host }: { loop: EventLoop; host: GuestHost }) {
    this.#port = port;
    this.#loop = loop;
    this.#host = host;
  }

  // A guest writes a byte at a time and each costs an exit: it must not also wake this thread for
  // each. So once woken, this looks by itself for as long as there is something.
  /** Passes on what there is, and what comes soon. */
  look(): void {
    this.#host.serialRoom();
    if (this.drain() === 0 && this.#port.sleep()) return;
    if (this.#isLookingSoon) return;
    this.#isLookingSoon = true;
    this.#loop.after(PERIOD_MS, () => {
      this.#isLookingSoon = false;
      this.look();
    });
  }

  /** Passes on what there is; how many bytes that was. */
  drain(): number {
    if (!this.#host.takesSerial()) return 0;
    const bytes = this.#port.transmit();
    if (bytes.length > 0) this.#host.serial(bytes);
    return bytes.length;
  }
}
