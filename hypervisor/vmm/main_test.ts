import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { zstdCompressSync } from "node:zlib";
import { EXIT_CODES } from "./control.ts";
import {
  type TinyKernel,
  tinyKernel,
  tinyPackedKernel,
  tinyPvhKernel,
} from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, runVmm, startVmm } from "./testing/vmm_process.ts";

const test = (name: string, body: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM, fn: body });

test("a guest's end shows in the exit code: power-off, reset, crash", async () => {
  using folder = new Folder();
  const run = (kind: TinyKernel, ...more: string[]) =>
    runVmm(["--kernel", folder.file(kind, tinyKernel(kind)), "--memory", "128M", ...more]);
  const [off, reset, crash] = await Promise.all([run("poweroff"), run("reset"), run("crash")]);
  assertEquals([off.serial, reset.serial, crash.serial], ["hello\n", "hello\n", "hello\n"]);
  assertEquals(off.code, EXIT_CODES.poweroff);
  assertEquals(reset.code, EXIT_CODES.reboot);
  assertEquals(crash.code, EXIT_CODES.crash);
  assertStringIncludes(off.errors, "The guest powered off");
  assertStringIncludes(reset.errors, "The guest asked for a reset");
  assertStringIncludes(crash.errors, "triple fault");
  assertEquals(folder.names(), ["crash", "poweroff", "reset"]);
});

test("a guest may have as much as the limits say, and RAM above the hole", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("poweroff"));
  const disk = folder.file("disk", new Uint8Array(4096));
  const disks = Array.from({ length: 16 }, (_, i) => ["--disk", `${disk},readonly,serial=${i}`]);
  const size = ["--memory", "5G", "--cpus", "8"];
  const args = ["--kernel", kernel, "--initrd", disk, ...size, ...disks.flat()];
  const { code, serial, errors } = await runVmm(args);
  assertEquals([code, serial], [EXIT_CODES.poweroff, "hello\n"], errors);
});

test("a vmlinux is entered by PVH, with its start info", async () => {
  using folder = new Folder();
  const kernel = folder.file("vmlinux", tinyPvhKernel("poweroff"));
  const { code, serial, errors } = await runVmm(["--kernel", kernel, "--memory", "128M"]);
  assertEquals([code, serial], [EXIT_CODES.poweroff, "hello\n"], errors);
});

test("a bzImage from the cache does not unpack itself; without a cache, or packed oddly, it does", async () => {
  using folder = new Folder();
  const cache = `${folder.path}/cache`;
  const kernel = folder.file("kernel", tinyPackedKernel((bytes) => zstdCompressSync(bytes)));
  const odd = folder.file("odd", tinyPackedKernel((bytes) => bytes.map((byte) => byte ^ 0xFF)));
  const run = (path: string, ...more: string[]) =>
    runVmm(["--kernel", path, "--memory", "128M", ...more]);
  const first = await run(kernel, "--kernel-cache", cache);
  const ends = await Promise.all([
    run(kernel, "--kernel-cache", cache),
    run(kernel),
    run(odd, "--kernel-cache", cache),
  ]);
  const [second, without, third] = ends;
  assertEquals(
    [first, second, without, third].map(({ code, serial }) => [code, serial]),
    [[0, "hello\n"], [0, "hello\n"], [0, "slow\n"], [0, "slow\n"]],
    first.errors,
  );
  assertStringIncludes(third.errors, "packed in a way that is not known; it unpacks itself");
  const kept = [...Deno.readDirSync(cache)].filter(({ name }) => name.endsWith(".vmlinux"));
  assertEquals(kept.length, 1);
});

test("a guest's CPU is the host's, or less; what the host lacks is named", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("poweroff"));
  const run = (...more: string[]) => runVmm(["--kernel", kernel, "--memory", "128M", ...more]);
  const [less, shaped, foreign] = await Promise.all([
    run("--cpu", "host,-sse2"),
    run("--cpus", "6", "--cpu", "host,sockets=2"),
    run("--cpu", "host,+vmx"),
  ]);
  assertEquals([less.code, less.serial], [0, "hello\n"], less.errors);
  assertEquals([shaped.code, shaped.serial], [0, "hello\n"], shaped.errors);
  assertEquals(foreign.code, EXIT_CODES.refused);
  assertStringIncludes(foreign.errors, 'ask for it by "nested"');
});

test("string instructions, PCI configuration and slots without a device answer as a PC's", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("looks", ""));
  const vmm = startVmm(["--kernel", kernel, "--memory", "128M"]);
  const { code, stdout } = await vmm.output();
  assertEquals(code, EXIT_CODES.poweroff);
  assertEquals(new TextDecoder().decode(stdout.subarray(0, 8)), "strings\n");
  // A virtio entropy device, and nothing.
  assertEquals([...stdout.subarray(8)], [0xF4, 0x1A, 0x44, 0x10, 0xFF, 0xFF, 0xFF, 0xFF]);
});

test("standard input is typed at the serial port", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("echo", ""));
  const vmm = startVmm(["--kernel", kernel, "--memory", "128M"], { stdin: "piped" });
  const writer = vmm.stdin.getWriter();
  // More than the port's receiver holds: the guest takes it as it reads.
  const text = "0123456789abcdef".repeat(600);
  await writer.write(new TextEncoder().encode(`${text}q`));
  await writer.close();
  const { code, serial } = await endOf(vmm);
  assertEquals([code, serial], [EXIT_CODES.poweroff, `${text}q`]);
});

test("a guest that does nothing is ended by the second of two polite signals", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("halt"));
  const vmm = startVmm(["--kernel", kernel, "--memory", "128M", "--cpus", "2"]);
  const reader = vmm.stdout.getReader();
  // It prints, so it runs; then it sleeps in KVM until it is kicked.
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value).charAt(0), "h");
  reader.releaseLock();
  vmm.kill("SIGTERM");
  // Signals of one kind that come too close are one; this one is of another.
  vmm.kill("SIGINT");
  const { code, errors } = await endOf(vmm);
  assertEquals(code, EXIT_CODES.poweroff);
  assertStringIncludes(errors, "It was told to end");
});

Deno.test("a bad command line is refused with what is wrong with it", async () => {
  using folder = new Folder();
  const nonsense = folder.file("guest.json", "{");
  const socket = `${folder.path}/control.sock`;
  const cases: [args: string[], says: string][] = [
    [["--kernels", "x"], 'Cannot use "--kernels": see --help'],
    [["kernel"], 'Cannot use "kernel": see --help'],
    [["--memory", "lots"], 'Cannot use --memory "lots"'],
    [["--kernel", "k", "--disk", "d,fast"], 'Cannot use --disk option "fast"'],
    [["--kernel", "k", "--net", "t,fast"], 'Cannot use --net option "fast"'],
    [["--config", nonsense], "Cannot use --config without --control SOCKET"],
    [["--config", nonsense, "--control", socket], `Cannot read the configuration "${nonsense}"`],
    [["--config", "/nowhere", "--control", socket], 'Cannot read the configuration "/nowhere"'],
  ];
  const ends = await Promise.all(cases.map(([args]) => runVmm(args)));
  ends.forEach(({ code, serial, errors }, i) => {
    assertEquals([code, serial], [EXIT_CODES.refused, ""], errors);
    assertStringIncludes(errors, cases[i][1]);
    assert(!errors.includes("    at "), errors);
  });
});

Deno.test("help tells the options and the exit codes", async () => {
  const { code, serial } = await runVmm(["--help"]);
  assertEquals(code, 0);
  for (const [name, value] of Object.entries(EXIT_CODES)) {
    assertStringIncludes(serial, `${value} ${name}`);
  }
});
