/**
 * A guest that counts, about to go on in another VMM of the same host, and that VMM.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import {
  endOf,
  Folder,
  startVmm,
  VMM,
  type VmmEnd,
} from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { counts, right } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { afterLine, HostileGuest, judge } from "./hostile_guest.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Has the guest behind `control` handed over; what was said, without the progress. */
// deno-lint-ignore no-explicit-any
export async function upgrade(control: string, socket: string): Promise<any[]> {
  using connection = await ControlConnection.open(control, { op: "upgrade", socket });
  const said = [];
  for (let line = await connection.line(); line; line = await connection.line()) {
    if (!line.upgrading) said.push(line);
  }
  return said;
}

export interface GiverOptions {
  memory?: string;
  /** Further arguments of its VMM. */
  more?: readonly string[];
  /** What it does; without, it counts until somebody types. */
  works?(program: GuestProgram, disk: BlockDriver): void;
}

function countsAndReads(program: GuestProgram, disk: BlockDriver): void {
  counts(program, () => 1);
  program.case("its disk goes on", () => {
    for (let sector = 0; sector < 20; sector++) disk.readsSector(sector);
  });
}

/** A guest with a disk, in a VMM that is to hand it over. */
export class Giver implements Disposable {
  readonly folder = new Folder();
  readonly control = `${this.folder.path}/control`;
  readonly program = new GuestProgram();
  readonly guest: HostileGuest;

  constructor(options: GiverOptions = {}) {
    const disk = new BlockDriver(this.program, { nth: 0 });
    disk.virtio.start();
    this.program.case("its disk works", () => disk.readsSector(3));
    const { works = countsAndReads } = options;
    works(this.program, disk);
    const image = this.folder.file("disk", diskImage());
    const { memory = "128M", more = [] } = options;
    const args = ["--memory", memory, "--disk", image, "--control", this.control, ...more];
    this.guest = new HostileGuest(this.program, { vmm: VMM, folder: this.folder.path, args });
  }

  static async running(options?: GiverOptions): Promise<Giver> {
    const giver = new Giver(options);
    await giver.guest.isThrough("its disk works");
    return giver;
  }

  /** Has it hand the guest over to the VMM that listens at `socket`. */
  // deno-lint-ignore no-explicit-any
  async upgrade(socket: string): Promise<any[]> {
    return await upgrade(this.control, socket);
  }

  /** It runs here, to its end, and all that it sees is right. */
  async runsHere(): Promise<void> {
    assertEquals((await ask(this.control, { op: "status" })).status.pausedFor, undefined);
    await this.guest.type();
    right(await this.guest.ended());
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

/** A VMM that waits for a guest of this host. */
export class TakingVmm implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "taker-" });
  readonly socket = `${this.folder}/upgrade`;
  readonly #waiting = `${this.folder}/control`;
  readonly #becomes: string | undefined;
  readonly #process = startVmm(["--wait", "--control", this.#waiting]);
  readonly #end = endOf(this.#process);
  /** What it answered to its order, which is in the end. */
  // deno-lint-ignore no-explicit-any
  answer: Promise<any> = Promise.resolve();

  private constructor(becomes?: string) {
    this.#becomes = becomes;
  }

  /** Returns once it listens; `becomes` is the folder of the VMM in whose place it is to be. */
  static async started(becomes?: string): Promise<TakingVmm> {
    const vmm = new TakingVmm(becomes);
    while (await vmm.phase() === undefined) await pause();
    const order = { op: "run", upgrade: vmm.socket, becomes };
    vmm.answer = ask(vmm.#waiting, order);
    while (await vmm.phase() !== "listening") await pause();
    return vmm;
  }

  /** Where it listens once it has the guest. */
  get control(): string {
    return this.#becomes === undefined ? this.#waiting : `${this.#becomes}/control`;
  }

  /** Undefined where it does not answer. */
  async phase(): Promise<string | undefined> {
    try {
      const { status } = await ask(this.#waiting, { op: "status" });
      return status.receiving?.phase ?? status.state;
    } catch {
      return undefined;
    }
  }

  /**
   * The guest runs here, to its end; all that it has ever seen is right, but for what its first `cases` told
   * somebody else.
   */
  async runs({ program }: Giver, { cases = 0 } = {}): Promise<void> {
    assertEquals((await this.answer).status?.state, "running");
    using serial = await Deno.connect({ transport: "unix", path: this.control });
    await serial.write(new TextEncoder().encode('{"op":"serial"}\n'));
    const output = await afterLine(serial, async () => {
      // One that is waiting for nobody may have ended.
      await serial.write(new TextEncoder().encode("!")).catch(() => {});
    });
    const { code, errors } = await this.ended();
    for (const { name, wrong } of judge(program.cases.slice(cases), output)) {
      assertEquals(wrong, [], `${name}: ${errors}`);
    }
    assertEquals(code, 0, errors);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async ended(): Promise<VmmEnd> {
    return await this.#end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill();
    } catch {
      // It has ended.
    }
    await this.#end;
    await this.answer.catch(() => {});
    Deno.removeSync(this.folder, { recursive: true });
  }
}
