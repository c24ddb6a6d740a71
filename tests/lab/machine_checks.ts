/**
 * What a guest sees of its CPUs, of where its kernel lies, and of its generation.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { BootFile } from "../../hypervisor/machine/boot/boot_file.ts";
import { BZIMAGE_HEADER_BYTES, parseBzImage } from "../../hypervisor/machine/boot/bzimage.ts";
import { unpackedKernel } from "../../hypervisor/machine/boot/kernel_cache.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import type { RunningGuest } from "./running_guest.ts";

/** A bzImage that unpacks itself, one from the cache, or its vmlinux by PVH. */
export type KernelStart = "bzImage" | "cache" | "pvh";

/** The VMM's options for a bzImage to be started in this way. */
export function kernelOptions(path: string, start: KernelStart): string[] {
  if (start === "bzImage") return ["--kernel", path];
  const folder = Deno.makeTempDirSync();
  if (start === "cache") return ["--kernel", path, "--kernel-cache", folder];
  using kernel = new BootFile(path, "kernel");
  const image = parseBzImage(kernel.read(0, BZIMAGE_HEADER_BYTES), kernel.length);
  using vmlinux = unpackedKernel(kernel, image, { folder });
  return ["--kernel", vmlinux.path];
}

/** It was moved in virtual or in physical memory; by chance it is not, once in some 20,000 starts. */
export async function isAtARandomAddress(guest: RunningGuest): Promise<void> {
  const text = (await guest.run("grep ' _text$' /proc/kallsyms")).split(" ")[0];
  assertMatch(text, /^ffffffff[89ab][0-9a-f]{2}00000$/);
  const code = await guest.run("grep 'Kernel code' /proc/iomem");
  assert(text !== "ffffffff81000000" || !code.includes("01000000-"), "the kernel was not moved");
}

/** Of x86-64-v2 with sockets of two cores of two threads, Hyper-V's interface, and SVM. */
export async function hasItsCpus(guest: RunningGuest, cpus: number): Promise<void> {
  const last = `/sys/devices/system/cpu/cpu${cpus - 1}/topology`;
  const ids = `cat ${last}/{physical_package_id,core_id}`;
  assertEquals(await guest.run(ids), `${cpus / 4 - 1}\n1`);
  const siblings = `cat ${last}/{thread,core}_siblings_list`;
  assertEquals(await guest.run(siblings), `${cpus - 2}-${cpus - 1}\n${cpus - 4}-${cpus - 1}`);
  const info = await guest.run("grep -m3 -E '^(model name|address sizes|flags)' /proc/cpuinfo");
  assertMatch(info, /model name\s*: x86-64-v2$/m);
  assertMatch(info, /address sizes\s*: 39 bits physical, 48 bits virtual/);
  const flags = new Set(/flags\s*: (.*)/.exec(info)![1].split(" "));
  for (const flag of ["sse4_2", "popcnt", "cx16", "lahf_lm"]) assert(flags.has(flag), flag);
  for (const flag of ["avx", "aes", "xsave", "bmi1"]) assert(!flags.has(flag), flag);
  assert(flags.has("svm") || flags.has("vmx"));
  // Linux knows both interfaces and takes KVM's.
  assertMatch(await guest.run("dmesg | grep -i 'hypervisor detected'"), /KVM/);
}

/** The driver has taken up the device, and makes new random numbers when it is told to. */
export async function reseeds(guest: RunningGuest, control: string): Promise<void> {
  const reseeded = "dmesg | grep -c 'reseeded due to virtual machine fork' || true";
  assertEquals(await guest.run(reseeded), "0");
  assertEquals((await ask(control, { op: "new_generation" })).ok, true);
  await guest.run(`for i in 1 2 3 4 5; do test $(${reseeded}) = 1 && break; sleep 1; done`);
  assertEquals(await guest.run(reseeded), "1");
}
