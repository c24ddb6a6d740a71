/**
 * A guest that is to be saved, sent or forked: Linux with a shell, some of whose memory is in use, and
 * the monitor's own socket, ours or QEMU's. Where Linux does not boot, one of a few bytes.
 *
 * @module
 */
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { fillingFirmware, fillingKernel } from "./filling_guest.ts";
import { commandOf, type Monitor } from "./monitors.ts";
import { Qmp } from "./qmp.ts";
import { ADDRESSES, SEGMENT_TAP, STREAM_PORT } from "./segment.ts";

/** What the guest may be doing. */
export const LOADS = {
  idle: "true",
  /** Writes 32 MiB of its memory over and over, at its own speed. */
  busy:
    "{ while :; do dd if=/dev/zero of=/dev/shm/busy bs=1M count=32 conv=notrunc 2> /dev/null; done & }",
  /** Sends to the first PC by one TCP connection, as fast as that goes; it needs a {@linkcode SEGMENT_TAP}. */
  network: `ip addr add ${ADDRESSES.guest}/24 dev eth0 && ip link set eth0 up && ` +
    `{ nc ${ADDRESSES.first} ${STREAM_PORT} < /dev/zero > /dev/null 2>&1 & }`,
} as const;

/** Those that need no network. */
export const LOCAL_LOADS = ["idle", "busy"] as const;

export interface CopiedShape {
  memoryMiB: number;
  /** Of it, what the guest has written before. */
  filledMiB: number;
  load?: keyof typeof LOADS;
  taps?: readonly string[];
}

export class CopiedGuest implements AsyncDisposable {
  readonly guest: BenchGuest;
  readonly monitor: Monitor;
  /** Ours speaks the control protocol there, QEMU its own. */
  readonly socket: string;
  readonly #folder: string;

  private constructor(guest: BenchGuest, monitor: Monitor, folder: string) {
    this.guest = guest;
    this.monitor = monitor;
    this.#folder = folder;
    this.socket = socketIn(folder);
  }

  static async start(monitor: Monitor, shape: CopiedShape, job: BenchJob): Promise<CopiedGuest> {
    if (job.noLinux && shape.taps) {
      throw new Error(`Cannot measure a guest with Linux here: ${job.noLinux}`);
    }
    const folder = Deno.makeTempDirSync({ prefix: "copied-" });
    const guest = await BenchGuest.start({
      command: copiedCommand(monitor, { ...shape, socket: socketIn(folder) }, job),
      until: job.noLinux ? REACHED.instructions : REACHED.userSpace,
    });
    if (job.noLinux) return new CopiedGuest(guest, monitor, folder);
    try {
      // Not zeros, which cost nobody anything.
      const fill = `openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2> /dev/null |`;
      await guest.run(
        `${fill} dd of=/dev/shm/filled bs=1M count=${shape.filledMiB} iflag=fullblock 2> /dev/null; ` +
          LOADS[shape.load ?? "idle"],
      );
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
    return new CopiedGuest(guest, monitor, folder);
  }

  /** The last line of what ours answers to a request that takes a while. */
  ask(request: Record<string, unknown>): Promise<Record<string, number>> {
    return carryOut(this.socket, request);
  }

  qmp(): Promise<Qmp> {
    return Qmp.open(this.socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The last line of what a VMM of ours answers at `socket` to a request that takes a while. */
export async function carryOut(
  socket: string,
  request: Record<string, unknown>,
): Promise<Record<string, number>> {
  using connection = await ControlConnection.open(socket, request);
  let last: Record<string, unknown> = {};
  for (let line = await connection.line(); line; line = await connection.line()) last = line;
  if (last.error !== undefined) throw new Error(`Cannot ${request.op}: ${last.error}`);
  return last as Record<string, number>;
}

/** The command of a monitor that listens at `socket`, beside which there is room for what it boots. */
export function copiedCommand(
  monitor: Monitor,
  shape: CopiedShape & { socket: string },
  job: BenchJob,
): string[] {
  const boots = job.noLinux
    ? fillingFiles(shape)
    : { kernel: job.files.kernel, initrd: job.files.tools.cpu };
  const { memoryMiB, load, socket } = shape;
  const taps = load === "network" ? [SEGMENT_TAP] : shape.taps;
  const command = commandOf(monitor, { cpus: 1, memoryMiB, boots, taps }, job);
  return [...command, ...monitor === "denovisor" ? ["--control", socket] : Qmp.options(socket)];
}

function fillingFiles(shape: CopiedShape & { socket: string }) {
  const [tinyKernel, tinyFirmware] = [`${shape.socket}-kernel`, `${shape.socket}-firmware`];
  Deno.writeFileSync(tinyKernel, fillingKernel(shape));
  Deno.writeFileSync(tinyFirmware, fillingFirmware(shape));
  return { tinyKernel, tinyFirmware };
}

function socketIn(folder: string): string {
  return `${folder}/control.sock`;
}
