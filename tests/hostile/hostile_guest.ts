/**
 * Runs a {@linkcode GuestProgram} in a VMM of its own, and compares what it saw with what it had to see.
 *
 * @module
 */
import { type Case, type Expectation, GuestProgram } from "./guest_program.ts";

/** A guest that waits for what never comes is ended by then; generous, for nested emulation. */
const PATIENCE_MS = 240_000;

/** How to run a VMM in the foreground: program and first arguments. */
export type VmmCommand = readonly [program: string, ...args: string[]];

export interface Verdict {
  name: string;
  /** What was not as it had to be; empty where all was. */
  wrong: string[];
}

export interface HostileRun {
  verdicts: Verdict[];
  code: number;
  /** What the VMM said on stderr. */
  errors: string;
}

/** A VMM with a guest that runs a program. */
export class HostileGuest {
  readonly #child: Deno.ChildProcess;
  readonly #cases: readonly Case[];
  readonly #output: Promise<Uint8Array>;
  readonly #errors: Promise<string>;
  #seen = 0;
  #more = Promise.withResolvers<void>();

  constructor(program: GuestProgram, options: {
    vmm: VmmCommand;
    /** A folder for its kernel. */
    folder: string;
    args: readonly string[];
    /** It goes on from a snapshot, which was made when it was through with so many cases. */
    restore?: { directory: string; cases: number };
  }) {
    const { restore } = options;
    this.#cases = program.cases.slice(restore?.cases ?? 0);
    const [command, ...first] = options.vmm;
    this.#child = new Deno.Command(command, {
      args: [...first, ...start(program, options), ...options.args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).spawn();
    this.#output = this.#collect();
    this.#errors = new Response(this.#child.stderr).text();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async #collect(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#child.stdout) {
      chunks.push(chunk);
      this.#seen += chunk.length;
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    }
    this.#seen = Infinity;
    this.#more.resolve();
    return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
  }

  /** Returns once the guest is through with its case `name`, or is no more. */
  async isThrough(name: string): Promise<void> {
    let bytes = 0;
    for (const one of this.#cases) {
      bytes += 4 * one.expectations.length;
      if (one.name === name) break;
    }
    while (this.#seen < bytes) await this.#more.promise;
  }

  /** Answers what the guest waits for; that it has ended meanwhile shows in what it saw. */
  async type(): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(Uint8Array.of(0x21)).catch(() => {});
    writer.releaseLock();
  }

  /** Ends its VMM as a power cut would. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended();
  }

  /** The guest's end, and what it saw until then. */
  async ended(): Promise<HostileRun> {
    const output = await this.#output;
    const errors = await this.#errors;
    await this.#child.stdin.close().catch(() => {});
    const { code } = await this.#child.status;
    return { verdicts: judge(this.#cases, output), code, errors };
  }
}

function start(
  program: GuestProgram,
  options: { folder: string; restore?: { directory: string } },
): string[] {
  const { folder, restore } = options;
  if (restore !== undefined) return ["--restore", restore.directory];
  const kernel = `${folder}/kernel-${crypto.randomUUID()}`;
  Deno.writeFileSync(kernel, program.toKernel());
  return ["--kernel", kernel];
}

/** Compares what a guest sent with what it had to send. */
export function judge(cases: readonly Case[], output: Uint8Array): Verdict[] {
  const view = new DataView(output.buffer, output.byteOffset, output.length);
  let at = 0;
  return cases.map(({ name, expectations }) => {
    const wrong: string[] = [];
    expectations.forEach((one, i) => {
      if (at + 4 * i + 4 > output.length) {
        if (i === 0) wrong.push("the guest did not come to its end");
      } else {
        const seen = view.getUint32(at + 4 * i, true);
        if (!holds(one, seen)) {
          wrong.push(`${i}: ${one.what} is ${show(seen)}, not ${show(one.wanted)}`);
        }
      }
    });
    at += 4 * expectations.length;
    return { name, wrong };
  });
}

function holds({ wanted }: Expectation, seen: number): boolean {
  return typeof wanted === "number" ? seen === wanted >>> 0 : wanted(seen);
}

function show(value: Expectation["wanted"]): string {
  return typeof value === "number" ? `0x${(value >>> 0).toString(16)}` : "as it must be";
}

/** All that comes behind the first line, upon which `then` is done. */
export async function afterLine(
  connection: Deno.Conn,
  then: () => Promise<unknown>,
): Promise<Uint8Array> {
  const one = new Uint8Array(1);
  while (one[0] !== 0x0A) if (await connection.read(one) === null) throw new Error("It hung up");
  await then();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const bytes = new Uint8Array(65536);
  for (let n = await connection.read(bytes); n !== null; n = await connection.read(bytes)) {
    chunks.push(bytes.slice(0, n));
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
