/**
 * Whether this machine's own KVM can boot a Linux kernel, found out by booting one: a /dev/kvm that
 * opens, and even one that runs small guests, need not be able to.
 *
 * @module
 */
import { CACHE } from "../setup/checkout.ts";
import { trixieCommand, trixieRoot } from "../setup/trixie.ts";
import { trixieKernel } from "../setup/kernels.ts";
import { MARKER, markerInitrd } from "./marker_initrd.ts";

/** What the probe found. */
export interface KvmVerdict {
  works: boolean;
  /** For a person: "it booted Linux in 1.2 s", or what it did instead. */
  reason: string;
}

/** A kernel that is going to come up says its first word well within this. */
const FIRST_WORD_MS = 4_000;
const USER_SPACE_MS = 20_000;

/** Answers from memory if this machine has been asked since it booted. */
export async function probeKvm(): Promise<KvmVerdict> {
  try {
    (await Deno.open("/dev/kvm", { read: true, write: true })).close();
  } catch (error) {
    return { works: false, reason: `/dev/kvm does not open: ${(error as Error).message}` };
  }
  const boot = (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
  const path = `${CACHE}/kvm-verdict.json`;
  const known = await readVerdict(path, boot);
  if (known) return known;
  const verdict = await bootOnce();
  await Deno.writeTextFile(`${path}.new`, JSON.stringify({ boot, ...verdict }));
  await Deno.rename(`${path}.new`, path);
  return verdict;
}

async function readVerdict(path: string, boot: string): Promise<KvmVerdict | undefined> {
  try {
    const saved = JSON.parse(await Deno.readTextFile(path));
    if (saved.boot !== boot || typeof saved.works !== "boolean") return undefined;
    return { works: saved.works, reason: String(saved.reason) };
  } catch {
    return undefined;
  }
}

async function bootOnce(): Promise<KvmVerdict> {
  const kernel = await trixieKernel("generic");
  const [program, ...args] = trixieCommand(await trixieRoot(), [
    "qemu-system-x86_64",
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "512", "-serial", "stdio"],
    ...["-kernel", kernel.kernel, "-initrd", await markerInitrd()],
    ...["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"],
  ]);
  const began = performance.now();
  const child = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  };
  let timer = setTimeout(kill, FIRST_WORD_MS);
  const errors = new Response(child.stderr).text();
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    // The firmware's words do not count: they need no kernel.
    const linux = text.includes("Linux version");
    text += decoder.decode(chunk, { stream: true });
    if (!linux && text.includes("Linux version")) {
      clearTimeout(timer);
      timer = setTimeout(kill, USER_SPACE_MS);
    }
    if (text.includes(MARKER)) break;
  }
  clearTimeout(timer);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  kill();
  const said = (await errors).trim().split("\n").at(-1) ?? "";
  await child.status;
  if (text.includes(MARKER)) return { works: true, reason: `it booted Linux in ${seconds} s` };
  const last = text.trim().split("\n").at(-1)?.trim();
  const reason = !text.includes("Linux version")
    ? "a stock Linux kernel said nothing"
    : `a stock Linux kernel did not reach user space; its last line was "${last}"`;
  return { works: false, reason: `${reason} within ${seconds} s${said ? ` (${said})` : ""}` };
}

if (import.meta.main) {
  const { works, reason } = await probeKvm();
  console.log(`this machine's KVM ${works ? "works" : "cannot be used"}: ${reason}`);
}
