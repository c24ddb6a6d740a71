/**
 * The real VMM, as the process that it is.
 *
 * @module
 */
export { HAS_KVM } from "../../kvm/testing/has_kvm.ts";

/** The bundled VMM, in the lab. */
const BUNDLE = Deno.env.get("LAB_VMM");
/** How the VMM is run: program and first arguments. */
export const VMM: readonly [program: string, ...args: string[]] = [
  Deno.execPath(),
  ...["run", "-A", "--no-check", "--quiet"],
  ...BUNDLE === undefined
    ? [new URL("../main.ts", import.meta.url).pathname]
    : ["--no-config", "--no-lock", BUNDLE],
];
/** A VMM that hangs fails its test, and does not outlive it; generous, for nested emulation. */
const PATIENCE_MS = 240_000;

/** A directory of its own for each test, gone with it. */
export class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vmm-test-" });

  /** Writes a file and returns its path. */
  file(name: string, content: Uint8Array | string): string {
    const path = `${this.path}/${name}`;
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    else Deno.writeFileSync(path, content);
    return path;
  }

  names(): string[] {
    return [...Deno.readDirSync(this.path)].map((entry) => entry.name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Starts the VMM; `prefix` is a command that starts a command. */
export function startVmm(
  args: readonly string[],
  options: { prefix?: readonly string[]; stdin?: "piped" | "null" } = {},
): Deno.ChildProcess {
  const [command, ...rest] = [...options.prefix ?? [], ...VMM, ...args];
  return new Deno.Command(command, {
    args: rest,
    stdin: options.stdin ?? "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).spawn();
}

export interface VmmEnd {
  code: number;
  /** What the guest's serial port sent. */
  serial: string;
  errors: string;
}

export async function endOf(process: Deno.ChildProcess): Promise<VmmEnd> {
  const { code, stdout, stderr } = await process.output();
  const [serial, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, serial, errors };
}

export async function runVmm(
  args: readonly string[],
  options: { prefix?: readonly string[] } = {},
): Promise<VmmEnd> {
  return await endOf(startVmm(args, options));
}
