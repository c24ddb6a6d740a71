/**
 * The machine monitors that are compared: ours and QEMU's two PCs, with one and the same guest.
 *
 * @module
 */
import { MARKER } from "../lab_pc/marker_initrd.ts";

const INIT_SAYS = new RegExp(`${MARKER} after ([0-9.]+) s`);

/** The guest that all of them run. */
export interface BenchGuest {
  kernel: string;
  initrd: string;
  memoryMiB: number;
}

/** What is compared. */
export const MONITORS = ["denovisor", "microvm", "q35"] as const;

/** One of {@linkcode MONITORS}. */
export type Monitor = typeof MONITORS[number];

const CMDLINE = "console=ttyS0 quiet panic=-1 reboot=t";

/** The command that runs the guest with one vCPU, its serial port on standard output. */
export function commandOf(
  monitor: Monitor,
  options: { vmm: string; guest: BenchGuest; stay: boolean },
): string[] {
  const { kernel, initrd, memoryMiB } = options.guest;
  const cmdline = options.stay ? `${CMDLINE} stay` : CMDLINE;
  if (monitor === "denovisor") {
    return [
      ...[Deno.execPath(), "run", "-A", "--no-config", "--no-lock", "--no-check", options.vmm],
      ...["--kernel", kernel, "--initrd", initrd, "--cmdline", cmdline],
      ...["--memory", `${memoryMiB}M`, "--cpus", "1"],
    ];
  }
  const machine = monitor === "microvm" ? "microvm,rtc=on" : "q35";
  return [
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", machine, "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", `${memoryMiB}`],
    ...["-kernel", kernel, "-initrd", initrd, "-append", cmdline, "-serial", "stdio"],
  ];
}

/** A guest that has reached user space. */
export class ReachedGuest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  /** From the monitor's start to the first word of the guest's init. */
  readonly seconds: number;
  /** What the guest's kernel took of them by its own clock; the rest is the monitor's. */
  readonly kernelSeconds: number;

  private constructor(child: Deno.ChildProcess, times: { all: number; kernel: number }) {
    this.#child = child;
    this.seconds = times.all;
    this.kernelSeconds = times.kernel;
  }

  /** Starts the monitor and waits for the guest's init; throws if it does not come. */
  static async start(command: readonly string[]): Promise<ReachedGuest> {
    const [program, ...args] = command;
    const began = performance.now();
    const child = new Deno.Command(program, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const errors = new Response(child.stderr).text();
    const timer = setTimeout(() => child.kill("SIGKILL"), 180_000);
    const decoder = new TextDecoder();
    let text = "";
    const reader = child.stdout.getReader();
    while (true) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
      const kernel = INIT_SAYS.exec(text);
      if (!kernel) continue;
      clearTimeout(timer);
      reader.releaseLock();
      return new ReachedGuest(child, {
        all: (performance.now() - began) / 1000,
        kernel: Number(kernel[1]),
      });
    }
    clearTimeout(timer);
    throw new Error(
      `Cannot measure "${command[0]}": its guest did not reach user space\n${text.slice(-500)}\n${
        (await errors).slice(-500)
      }`,
    );
  }

  get pid(): number {
    return this.#child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has powered off already.
    }
    await this.#child.stdin.close().catch(() => {});
    await this.#child.stdout.cancel().catch(() => {});
    await this.#child.status;
  }
}
