/**
 * A VMM that waits, and what its guest says once it runs one.
 *
 * @module
 */
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import { endOf, Folder, startVmm, type VmmEnd } from "../../hypervisor/vmm/testing/vmm_process.ts";

export class WaitingGuest implements AsyncDisposable {
  readonly socket: string;
  readonly folder = new Folder();
  readonly #vmm: Deno.ChildProcess;
  readonly #end: Promise<VmmEnd>;
  #serial: Deno.UnixConn | undefined;

  private constructor() {
    this.socket = `${this.folder.path}/control.sock`;
    this.#vmm = startVmm(["--wait", "--control", this.socket]);
    this.#end = endOf(this.#vmm);
  }

  /** Returns once it waits. */
  static async start(): Promise<WaitingGuest> {
    const guest = new WaitingGuest();
    while (!guest.folder.names().includes("control.sock")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // It listens a moment later.
    await guest.status();
    return guest;
  }

  get pid(): number {
    return this.#vmm.pid;
  }

  async status() {
    return (await ask(this.socket, { op: "status" })).status;
  }

  /** Stands still, and leaves the processor to others. */
  async pause(): Promise<void> {
    await ask(this.socket, { op: "pause" });
  }

  async resume(): Promise<void> {
    await ask(this.socket, { op: "resume" });
  }

  /** The next words that the guest sends. */
  async words(count: number): Promise<number[]> {
    return [...new Uint32Array((await this.#take(4 * count)).buffer)];
  }

  async type(byte: number): Promise<void> {
    await (await this.#port()).write(Uint8Array.of(byte));
  }

  async #port(): Promise<Deno.UnixConn> {
    if (this.#serial === undefined) {
      this.#serial = await Deno.connect({ transport: "unix", path: this.socket });
      await this.#serial.write(new TextEncoder().encode('{"op":"serial"}\n'));
      // The answer's line, before the port's own bytes.
      while ((await this.#take(1))[0] !== 0x0A);
    }
    return this.#serial;
  }

  async #take(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(count);
    const port = await this.#port();
    for (let at = 0; at < count;) {
      const n = await port.read(bytes.subarray(at));
      if (n === null) throw new Error(`The guest ended after ${at} of ${count} bytes`);
      at += n;
    }
    return bytes;
  }

  /** Its exit code, and what it said on stderr. */
  async ended(): Promise<VmmEnd> {
    return await this.#end;
  }

  /** Ends as a power cut would have it end. */
  async kill(): Promise<void> {
    try {
      this.#vmm.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#serial?.close();
    this.folder[Symbol.dispose]();
  }
}
