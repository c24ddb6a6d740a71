/**
 * The emulated PC of the lab: QEMU with AMD-V in software, started warm, running one job.
 *
 * @module
 */
import { removeTree } from "../setup/built_once.ts";
import { CACHE, CHECKOUT } from "../setup/checkout.ts";
import { trixieCommand, trixieRoot } from "../setup/trixie.ts";
import type { LabFiles } from "./files.ts";
import { LINK_DEVICE, UNLINKED } from "./link.ts";
import { untilMark } from "./marked_stream.ts";
import { lines, Qmp, writeAll } from "./qmp.ts";

/** What the PC is made of; a warm start fits only the same. */
export interface PcShape {
  /** Those that jobs have: QEMU emulates one more, see {@linkcode machineArguments}. */
  cpus: number;
  memoryMiB: number;
  disks: number;
  /** Whether it has a card for a segment that it shares with another. */
  linked?: boolean;
}

/** How to start a PC. */
export interface PcStart extends PcShape {
  files: LabFiles;
  /** Sizes in bytes, as many as the shape has disks. */
  diskSizes: readonly number[];
  /** What its card for a shared segment is connected to, where it has one. */
  netdev?: readonly string[];
  /** A saved state to go on from; without it the PC boots. */
  warm?: string;
}

/** A job for the PC. */
export interface Job {
  command: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  onOutput(bytes: Uint8Array): void;
  onErrors(bytes: Uint8Array): void;
}

const PORTS = ["control", "output", "errors"] as const;
const LAST_WORDS = 8 * 1024;

/**
 * The arguments that make the machine, as far as a saved state depends on them.
 *
 * Its first CPU runs no job, and so no guest. Whichever CPU loads the state of a floating-point unit, QEMU's
 * emulation also clears a flag (IGNNE) of the first CPU's, by a read and a write of a word that nothing guards
 * (`cpu_clear_ignne` in target/i386/tcg). In the same word that CPU keeps whether its guest has nested paging and
 * whether interrupts are held back: where it leaves a guest at that moment, the old word comes back, and the host's
 * code runs behind the guest's page tables.
 */
export function machineArguments(shape: PcShape): string[] {
  const args = [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "EPYC-v3,+svm,+npt"],
    ...["-smp", String(shape.cpus + 1), "-m", String(shape.memoryMiB)],
    ...[
      "-append",
      "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on isolcpus=0",
    ],
    ...["-device", "virtio-blk-pci,drive=root", "-device", "virtio-serial-pci"],
  ];
  for (const name of PORTS) args.push("-device", `virtserialport,chardev=${name},name=${name}`);
  args.push("-device", "virtio-9p-pci,fsdev=checkout,mount_tag=checkout");
  args.push("-netdev", "user,id=net0,restrict=on", "-device", "virtio-net-pci,netdev=net0");
  args.push("-device", "virtio-rng-pci");
  for (let i = 0; i < shape.disks; i++) {
    args.push("-device", `virtio-blk-pci,drive=scratch${i},serial=scratch${i}`);
  }
  if (shape.linked) args.push(...LINK_DEVICE);
  return args;
}

/** The PC was switched off or reset while its job ran. */
export class PcEnded extends Error {}

/** One running PC. It ends with {@linkcode Symbol.asyncDispose}, or with this process. */
export class LabPc implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #ports: Record<typeof PORTS[number], Deno.UnixConn>;
  readonly #control: AsyncIterator<string>;
  readonly #qmp: Qmp;
  readonly #said: () => string;
  readonly #disks: string;

  private constructor(parts: {
    child: Deno.ChildProcess;
    ports: Record<typeof PORTS[number], Deno.UnixConn>;
    qmp: Qmp;
    said: () => string;
    disks: string;
  }) {
    this.#child = parts.child;
    this.#ports = parts.ports;
    this.#qmp = parts.qmp;
    this.#said = parts.said;
    this.#disks = parts.disks;
    this.#control = lines(parts.ports.control.readable);
  }

  /** Starts QEMU; the PC itself may still be booting when this returns. */
  static async start(options: PcStart): Promise<LabPc> {
    // Sockets lie in /tmp because their paths must be short; disks in the cache because they grow.
    const sockets = await Deno.makeTempDir({ prefix: "lab-" });
    const disks = await Deno.makeTempDir({ dir: CACHE, prefix: ".lab-disks-" });
    let child: Deno.ChildProcess | undefined;
    try {
      const args = [
        ...machineArguments(options),
        ...["-kernel", options.files.kernel, "-initrd", options.files.initrd],
        ...[
          "-drive",
          `if=none,id=root,format=raw,readonly=on,file.locking=off,file=${options.files.root}`,
        ],
        ...[
          "-fsdev",
          `local,id=checkout,path=${CHECKOUT},security_model=passthrough,multidevs=remap`,
        ],
        ...["-serial", "stdio", "-qmp", `unix:${sockets}/qmp,server=on,wait=off`],
      ];
      if (options.linked) args.push(...options.netdev ?? UNLINKED);
      for (const name of PORTS) {
        args.push("-chardev", `socket,id=${name},path=${sockets}/${name},server=on,wait=off`);
      }
      for (const [i, size] of options.diskSizes.entries()) {
        const path = `${disks}/${i}`;
        await Deno.writeFile(path, new Uint8Array(0));
        await Deno.truncate(path, size);
        args.push(
          "-drive",
          `if=none,id=scratch${i},format=raw,cache=unsafe,discard=unmap,file=${path}`,
        );
      }
      if (options.warm) args.push("-incoming", `file:${options.warm}`);
      const [program, ...rest] = trixieCommand(await trixieRoot(), ["qemu-system-x86_64", ...args]);
      child = new Deno.Command(program, {
        args: rest,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const said = lastWords(child);
      const qmp = await Qmp.connect(await socketAt(`${sockets}/qmp`, said));
      const ports = {} as Record<typeof PORTS[number], Deno.UnixConn>;
      for (const name of PORTS) {
        ports[name] = await Deno.connect({ transport: "unix", path: `${sockets}/${name}` });
      }
      return new LabPc({ child, ports, qmp, said, disks });
    } catch (error) {
      if (child) await end(child);
      await removeTree(disks);
      throw error;
    } finally {
      await removeTree(sockets);
    }
  }

  /** Waits until a booted PC is prepared, and saves its state to `path`. The PC is of no use after. */
  async saveWarm(path: string): Promise<void> {
    await this.#expect("warm", 180_000);
    await this.#qmp.execute("stop");
    await this.#qmp.execute("migrate", { uri: `file:${path}` });
    while (true) {
      const migration = await this.#qmp.execute("query-migrate") as Record<string, string>;
      if (migration.status === "completed") return;
      if (migration.status === "failed" || migration.status === "cancelled") {
        throw new Error(
          `Cannot save the lab's state: ${
            migration["error-desc"] ?? migration.status
          }\n${this.#said()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Wakes the PC after its start; throws if it does not come to life in time. */
  async wake(options: { warm: boolean }): Promise<void> {
    if (options.warm) await this.#goOn();
    else await this.#expect("warm", 180_000);
    await this.#say("wake");
    await this.#expect("awake", 20_000);
    await this.#say((Date.now() / 1000).toFixed(3));
    await this.#say(CHECKOUT);
    await this.#expect("ready", 60_000);
    // QEMU, which opens its disks again when it goes on from a saved state, holds them open now:
    // from here on not even SIGKILL leaves a file behind.
    await removeTree(this.#disks);
  }

  /** Runs the PC's only job and returns its exit code. */
  async run(job: Job): Promise<number> {
    const mark = `--${crypto.randomUUID()}--`;
    const exports = Object.entries(job.env).map(([name, value]) => `${name}=${quoted(value)}`);
    await this.#say(mark);
    await this.#say(
      [
        `cd ${quoted(job.cwd)}`,
        exports.length > 0 ? `export ${exports.join(" ")}` : ":",
        `exec ${job.command.map(quoted).join(" ")}`,
      ].join(" && "),
    );
    const bytes = new TextEncoder().encode(mark);
    const [ended, output, errors] = await Promise.all([
      this.#control.next(),
      pass(untilMark(this.#ports.output.readable, bytes), job.onOutput),
      pass(untilMark(this.#ports.errors.readable, bytes), job.onErrors),
    ]);
    const code = /^exit (\d+)$/.exec(ended.value ?? "")?.[1];
    if (code === undefined || !output || !errors) {
      throw new PcEnded(`Cannot go on with the lab: its PC has ended by itself\n${this.#said()}`);
    }
    return Number(code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child);
    await removeTree(this.#disks);
  }

  /** A state that was saved of a stopped machine is loaded as one. */
  async #goOn(): Promise<void> {
    const until = Date.now() + 20_000;
    while (Date.now() < until) {
      const { status } = await this.#qmp.execute("query-status") as { status: string };
      if (status !== "inmigrate") return void await this.#qmp.execute("cont");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`Cannot start the lab's PC: its saved state does not load\n${this.#said()}`);
  }

  async #say(line: string): Promise<void> {
    await writeAll(this.#ports.control, new TextEncoder().encode(`${line}\n`));
  }

  async #expect(line: string, milliseconds: number): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`no "${line}" within ${milliseconds / 1000} s`)),
      milliseconds,
    );
    try {
      const { value, done } = await Promise.race([this.#control.next(), promise]);
      if (done) throw new Error("its QEMU has ended");
      if (value !== line) throw new Error(`it said "${value}" where "${line}" was due`);
    } catch (error) {
      throw new Error(
        `Cannot start the lab's PC: ${(error as Error).message}\n${this.#said()}`,
      );
    } finally {
      clearTimeout(timer);
    }
  }
}

async function end(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
  await child.status;
}

async function pass(
  stream: AsyncGenerator<Uint8Array, boolean>,
  to: (bytes: Uint8Array) => void,
): Promise<boolean> {
  while (true) {
    const { value, done } = await stream.next();
    if (done) return value;
    to(value);
  }
}

/** Keeps the end of what QEMU and the PC's serial port say, for when they fail. */
function lastWords(child: Deno.ChildProcess): () => string {
  let text = "";
  const keep = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text = (text + decoder.decode(chunk, { stream: true })).slice(-LAST_WORDS);
    }
  };
  keep(child.stdout).catch(() => {});
  keep(child.stderr).catch(() => {});
  return () =>
    text.split("\n").filter((line) => !line.includes("TCG doesn't support")).slice(-25).join("\n");
}

async function socketAt(path: string, said: () => string): Promise<string> {
  const until = Date.now() + 20_000;
  while (Date.now() < until) {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return path;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  throw new Error(`Cannot start the lab's PC: QEMU does not answer\n${said()}`);
}

/** One word of a bash command line, on one line. */
export function quoted(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  // A newline is written as an escape, in quotes of its own.
  const plain = word.split("'").join("'\\''").split("\n").join("'$'\\n''");
  return `'${plain}'`;
}
