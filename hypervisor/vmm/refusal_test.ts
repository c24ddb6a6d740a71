import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { bzImage } from "../machine/testing/bzimage.ts";
import { EXIT_CODES } from "./control.ts";
import { tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, runVmm, startVmm } from "./testing/vmm_process.ts";

const MiB = 2 ** 20;

/** To hide a device from a process takes a mount namespace of its own. */
const CAN_HIDE_FILES = (() => {
  try {
    return new Deno.Command("unshare", { args: ["--mount", "true"] }).outputSync().success;
  } catch {
    return false;
  }
})();

interface Refusal {
  args: string[];
  says: string[];
}

/** Every one is refused in one line, before anything ran, and nothing is left of it. */
async function checkRefused(folder: Folder, refusals: readonly Refusal[]): Promise<void> {
  const before = folder.names();
  const ends = await Promise.all(refusals.map(({ args }) => runVmm(args)));
  ends.forEach(({ code, serial, errors }, i) => {
    const { args, says } = refusals[i];
    assertEquals([code, serial], [EXIT_CODES.refused, ""], `${args.join(" ")}: ${errors}`);
    for (const text of says) assertStringIncludes(errors, text);
    assertEquals(errors.trim().split("\n").length, 1, errors);
  });
  assertEquals(folder.names(), before);
}

Deno.test({
  name: "a kernel that cannot be booted is refused",
  ignore: !HAS_KVM,
  fn: async () => {
    using folder = new Folder();
    const kernel = folder.file("kernel", tinyKernel("poweroff"));
    const large = folder.file("large", new Uint8Array(0));
    Deno.truncateSync(large, 120 * MiB);
    const boot = (path: string, ...more: string[]) => [
      ...["--kernel", path, "--memory", "128M"],
      ...more,
    ];
    const text = folder.file("text", "not a kernel\n".repeat(1000));
    const cut = folder.file("cut", tinyKernel("poweroff").subarray(0, 1100));
    const huge = folder.file("huge", bzImage({ initSize: 200 * MiB }));
    await checkRefused(folder, [
      { args: boot(text), says: [text, "no boot flag"] },
      { args: boot(cut), says: [cut, "it is truncated"] },
      { args: boot(huge), says: [huge, "needs 216 MiB", "has 128 MiB"] },
      { args: boot(kernel, "--initrd", large), says: [large, "would overlap it"] },
      { args: boot("/nowhere"), says: ['the kernel "/nowhere"', "no such file"] },
    ]);
  },
});

Deno.test({
  name: "a disk that cannot be used is refused, and one in use is left alone",
  ignore: !HAS_KVM,
  fn: async () => {
    using folder = new Folder();
    const kernel = folder.file("kernel", tinyKernel("echo"));
    const boot = (disk: string) => ["--kernel", kernel, "--memory", "128M", "--disk", disk];
    const disk = folder.file("disk", new Uint8Array(4096).fill(7));
    const empty = folder.file("empty", "");
    const odd = folder.file("odd", new Uint8Array(513));
    const holder = startVmm(boot(disk), { stdin: "piped" });
    const reader = holder.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    await checkRefused(folder, [
      { args: boot(disk), says: [disk, "another guest uses it"] },
      { args: boot("/nowhere"), says: ['disk "/nowhere"', "no such file"] },
      { args: boot(empty), says: [empty, "it is empty"] },
      { args: boot(odd), says: [odd, "not a multiple of 512"] },
    ]);
    const writer = holder.stdin.getWriter();
    await writer.write(new TextEncoder().encode("q"));
    await writer.close();
    assertEquals((await endOf(holder)).code, EXIT_CODES.poweroff);
    assert(Deno.readFileSync(disk).every((byte) => byte === 7));
    // Whoever held it is gone, so it is free.
    const next = startVmm(boot(disk), { stdin: "piped" });
    const last = next.stdin.getWriter();
    await last.write(new TextEncoder().encode("q"));
    await last.close();
    assertEquals((await endOf(next)).code, EXIT_CODES.poweroff);
  },
});

Deno.test("a guest of impossible size is refused", async () => {
  using folder = new Folder();
  const kernel = folder.file("kernel", tinyKernel("poweroff"));
  const cpus = (n: string) => ["--kernel", kernel, "--cpus", n];
  const memory = (m: string) => ["--kernel", kernel, "--memory", m];
  await checkRefused(folder, [
    { args: cpus("0"), says: ["the number of CPUs 0", "from 1 to 8"] },
    { args: cpus("255"), says: ["the number of CPUs 255", "from 1 to 8"] },
    { args: cpus("two"), says: ["the number of CPUs", "from 1 to 8"] },
    { args: memory("1M"), says: ["the memory in MiB 1:", "from 64 to"] },
    { args: memory("1024G"), says: ["1048576 MiB of memory: the host has"] },
  ]);
});

Deno.test({
  name: "a host without /dev/kvm is not the configuration's fault",
  ignore: !CAN_HIDE_FILES,
  fn: async () => {
    using folder = new Folder();
    const kernel = folder.file("kernel", tinyKernel("poweroff"));
    const hide = `mount -t tmpfs none /dev && touch /dev/null && exec "$0" "$@"`;
    const without = { prefix: ["unshare", "--mount", "sh", "-c", hide] };
    const { code, errors, serial } = await runVmm(["--kernel", kernel], without);
    assertEquals([code, serial], [EXIT_CODES.host, ""], errors);
    assertStringIncludes(errors, 'Cannot open "/dev/kvm": there is none');
    assertEquals(errors.trim().split("\n").length, 1, errors);

    // Something else under its name is no KVM either.
    const fake = `mount --bind /dev/null /dev/kvm && exec "$0" "$@"`;
    if (HAS_KVM) {
      const other = { prefix: ["unshare", "--mount", "sh", "-c", fake] };
      const { code, errors } = await runVmm(["--kernel", kernel], other);
      assertEquals(code, EXIT_CODES.host, errors);
      assertStringIncludes(errors, 'Cannot use "/dev/kvm"');
    }
    assertEquals(folder.names(), ["kernel"]);
  },
});
