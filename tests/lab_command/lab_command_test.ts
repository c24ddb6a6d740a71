/**
 * `./scripts/lab` as a person calls it, from outside.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "../../scripts/setup/built_once.ts";
import { CHECKOUT } from "../../scripts/setup/checkout.ts";

const LAB = `${CHECKOUT}/scripts/lab`;

async function lab(...args: string[]) {
  const output = await new Deno.Command(LAB, { args, cwd: "/" }).output();
  const decoder = new TextDecoder();
  return {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** The id of the process that `parent` started. */
async function childOf(parent: number): Promise<number> {
  const children = await Deno.readTextFile(`/proc/${parent}/task/${parent}/children`);
  return Number(children.trim());
}

/** What of the cache's scratch disks a process holds open, as the kernel names it. */
function openDisks(pid: number): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)]
    .map(({ name }) => Deno.readLinkSync(`/proc/${pid}/fd/${name}`))
    .filter((path) => path.includes(".lab-disks-"));
}

Deno.test("the lab passes on both streams byte by byte, and the exit code", async () => {
  const script = `printf 'to "%s"\\n\\0' "$1"; printf 'err' >&2; pwd; exit 7`;
  const { code, stdout, stderr } = await lab("--", "bash", "-c", script, "bash", "a b\n'c'");
  assertEquals(stdout, `to "a b\n'c'"\n\0${CHECKOUT}\n`);
  assertStringIncludes(stderr, "err");
  assertEquals(code, 7);
});

Deno.test("the lab has the CPUs, the memory and the disks that were asked for", async () => {
  const script = "nproc; lsblk -bdno NAME,SIZE; stat -c %t:%T /dev/kvm";
  const { stdout } = await lab("--disk", "512M", "--disk", "3G", "--", "sh", "-c", script);
  const lines = stdout.trim().split("\n").map((line) => line.split(/\s+/).join(" "));
  assertEquals(lines[0], "2");
  assert(lines.includes(`vdb ${512 * 2 ** 20}`), stdout);
  assert(lines.includes(`vdc ${3 * 2 ** 30}`), stdout);
  assertEquals(lines.at(-1), "a:e8");
});

Deno.test("of two PCs each has its address and its number, and both end with the first", async () => {
  const script = `[ "$LAB_HOST" = 1 ] || exec sleep 600
    ping -c 1 -w 60 10.97.0.2 > /dev/null && ip -brief addr show dev link && exit 5`;
  const { code, stdout } = await lab("--hosts", "2", "--", "sh", "-c", script);
  assertStringIncludes(stdout, "10.97.0.1/24");
  assertEquals(code, 5);
});

Deno.test("a lab that is told to end is gone, with all that it had made", async () => {
  const child = new Deno.Command(LAB, {
    args: ["--", "sh", "-c", "echo here; sleep 600"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "here\n");
  const qemu = await childOf(child.pid);
  const disks = openDisks(qemu);
  assertEquals(disks.length, 2);
  // Files without a name: they are gone however their process ends.
  for (const disk of disks) assertStringIncludes(disk, "(deleted)");
  child.kill("SIGTERM");
  assertEquals((await child.status).code, 143);
  await reader.cancel();
  assertEquals(await exists(`/proc/${qemu}`), false);
});

Deno.test("a command line that cannot be meant is refused with its usage", async () => {
  const { code, stderr } = await lab("--cpus", "none", "--", "true");
  assertEquals(code, 2);
  assertStringIncludes(stderr, 'Cannot read option "--cpus": "none"');
  assertStringIncludes(stderr, "Usage: ./scripts/lab");
});
