/**
 * What the measured guests boot: Debian trixie's cloud kernel with an initial RAM disk that says that
 * it is there, with one that has tools and does what it is told over its serial port, and guests of a
 * few bytes.
 *
 * @module
 */
import { tinyKernel } from "../../hypervisor/vmm/testing/tiny_kernel.ts";
import { MARKER, markerInitrd } from "../lab_pc/marker_initrd.ts";
import { builtOnce } from "../setup/built_once.ts";
import { type KernelFiles, trixieKernel } from "../setup/kernels.ts";
import { LIBRARIES, measuringTools } from "../setup/measuring_tools.ts";
import { smallInitrd } from "../setup/small_initrd.ts";
import { inTrixie } from "../setup/trixie.ts";

/** What guests have of tools, by benchmark: the fewer, the sooner it boots. */
const TOOLS = {
  block: ["fio"],
  net: ["iperf3", "sockperf"],
  cpu: ["openssl", "cyclictest", "hackbench"],
} as const;

/** Paths of files, and never to be written to. */
export interface GuestFiles {
  /** bzImage. */
  kernel: string;
  /** Says {@linkcode MARKER} and idles. */
  marker: string;
  /** Say {@linkcode MARKER} and then run a shell on the serial port. */
  tools: Record<keyof typeof TOOLS, string>;
  /** A bzImage that says {@linkcode TINY_MARKER} by its first instructions and halts. */
  tinyKernel: string;
  /** The same as a PC's firmware, so that it is the first that a QEMU runs. */
  tinyFirmware: string;
  /** A bzImage that says the same and then looks at its clock, and tells how long it did not. */
  watchingKernel: string;
}

/** The first word of a guest of a few bytes. */
export const TINY_MARKER = "!";

const MODULES = ["virtio_blk", "virtio_net"];

/** Builds what is not there yet. */
export async function guestFiles(): Promise<GuestFiles> {
  const kernel = await trixieKernel("cloud");
  return {
    kernel: kernel.kernel,
    marker: await markerInitrd(),
    tools: {
      block: await toolsInitrd(kernel, "block"),
      net: await toolsInitrd(kernel, "net"),
      cpu: await toolsInitrd(kernel, "cpu"),
    },
    ...await tinyFiles(),
  };
}

/** The shell's lines come without an echo, and its answers without carriage returns. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ LC_ALL=C
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /tmp /dev/shm && mount -t tmpfs shm /dev/shm
while read -r module; do insmod "$module"; done < /modules/order
ip link set lo up
read -r uptime rest < /proc/uptime
stty -F /dev/ttyS0 -echo -onlcr
echo "${MARKER} after $uptime s" > /dev/console
# Through a pipe: on a terminal the shell would be one for a person, with a prompt.
sh < /dev/ttyS0 2>&1 | cat > /dev/ttyS0
`;

async function toolsInitrd(kernel: KernelFiles, kind: keyof typeof TOOLS): Promise<string> {
  const more = await measuringTools();
  return await smallInitrd({
    name: `bench-initrd-${kind}`,
    init: INIT,
    modules: { kernel, names: MODULES },
    add: {
      madeFrom: [more, ...TOOLS[kind]].join("\n"),
      async to(staging, trixie) {
        for (const folder of ["lib64", LIBRARIES]) {
          await Deno.mkdir(`${staging}/${folder}`, { recursive: true });
        }
        await Deno.symlink("usr/lib", `${staging}/lib`);
        for (const tool of TOOLS[kind]) await takeProgram(tool, staging, [more, trixie]);
      },
    },
  });
}

/** Takes a program and its libraries from the first of the roots that has it. */
async function takeProgram(name: string, staging: string, roots: string[]): Promise<void> {
  for (const root of roots) {
    const path = `${root}/usr/bin/${name}`;
    if (!await Deno.stat(path).then(() => true, () => false)) continue;
    await Deno.copyFile(path, `${staging}/bin/${name}`);
    const found = await inTrixie([
      ...["env", `LD_LIBRARY_PATH=${roots[0]}/${LIBRARIES}`, "ldd", path],
    ]);
    for (const [, library] of found.stdout.matchAll(/(\/[^ ()]+) \(0x/g)) {
      const file = library.startsWith(`${roots[0]}/`) ? library : `${roots[1]}${library}`;
      const to = library.startsWith("/lib64/") ? "lib64" : LIBRARIES;
      await Deno.copyFile(await inRoot(file, roots), `${staging}/${to}/${basename(library)}`);
    }
    return;
  }
  throw new Error(`Cannot give the guest "${name}": neither ${roots.join(" nor ")} has it`);
}

/** A root's links are its own: absolute ones begin in it. */
async function inRoot(path: string, roots: string[]): Promise<string> {
  const { isSymlink } = await Deno.lstat(path);
  if (!isSymlink) return path;
  const target = await Deno.readLink(path);
  const root = roots.find((it) => path.startsWith(`${it}/`))!;
  const next = target.startsWith("/")
    ? `${root}${target}`
    : `${path.slice(0, path.lastIndexOf("/"))}/${target}`;
  return await inRoot(next, roots);
}

const basename = (path: string) => path.slice(path.lastIndexOf("/") + 1);

const FIRMWARE_BYTES = 64 * 1024;
const COM1 = 0x3F8;

/** The CPU begins 16 bytes before the end, in real mode; from there to the beginning. */
function tinyFirmware(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FIRMWARE_BYTES).fill(0xF4);
  // mov dx, COM1; mov al, the marker; out dx, al; cli; hlt; jmp to the hlt
  bytes.set([
    ...[0xBA, COM1 & 0xFF, COM1 >> 8, 0xB0, TINY_MARKER.charCodeAt(0), 0xEE],
    ...[0xFA, 0xF4, 0xEB, 0xFD],
  ]);
  // jmp F000:0000
  bytes.set([0xEA, 0x00, 0x00, 0x00, 0xF0], FIRMWARE_BYTES - 16);
  return bytes;
}

async function tinyFiles(): Promise<
  Pick<GuestFiles, "tinyKernel" | "tinyFirmware" | "watchingKernel">
> {
  const kernel = tinyKernel("halt", TINY_MARKER);
  const watching = tinyKernel("watch", TINY_MARKER);
  const firmware = tinyFirmware();
  const folder = await builtOnce({
    name: "bench-tiny",
    madeFrom: [kernel, firmware, watching].map((it) => it.toHex()).join("\n"),
    step: "making the guests of a few bytes",
    async build(target) {
      await Deno.mkdir(target);
      await Deno.writeFile(`${target}/kernel`, kernel);
      await Deno.writeFile(`${target}/firmware`, firmware);
      await Deno.writeFile(`${target}/watching`, watching);
    },
  });
  return {
    tinyKernel: `${folder}/kernel`,
    tinyFirmware: `${folder}/firmware`,
    watchingKernel: `${folder}/watching`,
  };
}
