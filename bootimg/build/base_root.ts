/**
 * The part of the appliance's root that changes seldom: Linux's modules, the C library, Deno and the
 * few programs that are not ours.
 *
 * @module
 */
import { builtOnce, removeTree } from "../../scripts/setup/built_once.ts";
import { CACHE } from "../../scripts/setup/checkout.ts";
import {
  type DebFacts,
  describeDeb,
  fetchDebs,
  readLock,
  unpackDeb,
} from "../../scripts/setup/debs.ts";
import { chooseModules, type ModuleIndexData, nameOfFile } from "../modules/module_index.ts";
import { parseModule } from "../modules/modinfo.ts";
import { WANTED_MODULES } from "../modules/wanted.ts";
import { pack } from "./compress.ts";
import type { Tree } from "./cpio.ts";
import { toolCommand, TOOLS_LOCK } from "./tools.ts";

const LOCK = "bootimg/packages.lock";
const KERNEL = "linux-image-amd64";
const PACKAGES = [
  "busybox-static",
  "dropbear-bin",
  "libblkid1",
  "libc6",
  "libcap2",
  "libcrypt1",
  "libgcc-s1",
  "libgmp10",
  "libinih1",
  "libpcre2-8-0",
  "libselinux1",
  "libstdc++6",
  "libtomcrypt1",
  "libtommath1",
  "libudev1",
  "liburcu8t64",
  "libuuid1",
  "mdadm",
  "openntpd",
  "smartmontools",
  "util-linux",
  "xfsprogs",
  "zlib1g",
] as const;

/** Programs of Debian's, by their paths. */
const PROGRAMS = [
  "usr/bin/busybox",
  "usr/sbin/ntpd",
  // Disks: what is on them, file systems, mirrors, health.
  "usr/sbin/blkid",
  "usr/sbin/mkfs.xfs",
  "usr/sbin/mdadm",
  "usr/sbin/smartctl",
  // SSH: what answers, and what makes the host's key.
  "usr/sbin/dropbear",
  "usr/bin/dropbearkey",
];

/** What Deno and the programs are linked with, and what names and addresses are looked up with. */
const LIBRARIES = [
  "ld-linux-x86-64.so.2",
  "libblkid.so.1",
  "libc.so.6",
  "libcap.so.2",
  "libcrypt.so.1",
  "libdl.so.2",
  "libgcc_s.so.1",
  "libgmp.so.10",
  "libinih.so.1",
  "libm.so.6",
  "libpcre2-8.so.0",
  "libpthread.so.0",
  "libresolv.so.2",
  "librt.so.1",
  "libselinux.so.1",
  "libstdc++.so.6",
  "libtomcrypt.so.1",
  "libtommath.so.1",
  "libudev.so.1",
  "liburcu.so.8",
  "libuuid.so.1",
  "libz.so.1",
];
const LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu";

/** Bumped when the code below would make another root from the same packages. */
const RECIPE = 8;

export interface BaseRoot {
  /** As `uname -r` gives it. */
  release: string;
  /** Path of the bzImage. */
  kernel: string;
  /** Path of the packed root. */
  archive: string;
  contents: BaseContents;
}

/** What the base root was made of. */
export interface BaseContents {
  packages: DebFacts[];
  /** Deno's SHA-256. */
  deno: string;
  modules: ModuleIndexData;
  /** Names of modules that the kernel has in itself. */
  builtIn: string[];
}

/** The base root, built on the first call. */
export async function baseRoot(): Promise<BaseRoot> {
  const lock = await readLock(LOCK);
  const deno = Deno.execPath();
  const folder = await builtOnce({
    name: "bootimg-base",
    madeFrom: JSON.stringify([
      RECIPE,
      lock,
      await readLock(TOOLS_LOCK),
      Deno.version.deno,
      WANTED_MODULES,
      LIBRARIES,
      PROGRAMS,
    ]),
    step: "packing the appliance's Linux and Deno (one to two minutes)",
    build: (target) => build(target, deno),
  });
  const release = (await Deno.readTextFile(`${folder}/release`)).trim();
  const contents = JSON.parse(await Deno.readTextFile(`${folder}/contents.json`));
  return { release, kernel: `${folder}/vmlinuz`, archive: `${folder}/base.cpio.zst`, contents };
}

async function build(target: string, deno: string): Promise<void> {
  const staging = `${CACHE}/.bootimg-staging`;
  await removeTree(staging);
  try {
    const debs = await fetchDebs(LOCK, "trixie", [KERNEL, ...PACKAGES]);
    await unpackDeb(debs[KERNEL], `${staging}/kernel`);
    for (const name of PACKAGES) await unpackDeb(debs[name], `${staging}/root`);
    const [kernel] = Array.from(Deno.readDirSync(`${staging}/kernel/boot`))
      .filter((it) => it.name.startsWith("vmlinuz-"));
    const release = kernel.name.slice("vmlinuz-".length);
    const tree: Tree = new Map();
    addSkeleton(tree);
    await addFile(tree, "usr/bin/deno", deno);
    for (const path of PROGRAMS) await addFile(tree, path, `${staging}/root/${path}`);
    for (const name of LIBRARIES) {
      await addFile(tree, `${LIBRARY_FOLDER}/${name}`, `${staging}/root/${LIBRARY_FOLDER}/${name}`);
    }
    const modules = `${staging}/kernel/usr/lib/modules/${release}`;
    const builtIn = await Deno.readTextFile(`${modules}/modules.builtin`);
    const contents: BaseContents = {
      packages: await Promise.all([KERNEL, ...PACKAGES].map((name) => describeDeb(debs[name]))),
      deno: await digestOf(deno),
      modules: await addModules(tree, modules),
      builtIn: builtIn.trim().split("\n").map(nameOfFile),
    };
    await Deno.mkdir(target);
    await Deno.writeTextFile(`${target}/contents.json`, JSON.stringify(contents));
    await pack(tree, { path: `${target}/base.cpio.zst`, level: 19 });
    await Deno.copyFile(`${staging}/kernel/boot/${kernel.name}`, `${target}/vmlinuz`);
    await Deno.writeTextFile(`${target}/release`, release + "\n");
  } finally {
    await removeTree(staging);
  }
}

function addSkeleton(tree: Tree): void {
  for (const name of ["app", "data", "dev", "proc", "run", "sys", "tmp", "usr", "etc"]) {
    tree.set(name, { kind: "folder" });
  }
  // Where ntpd has its socket and what it learns of the clock.
  for (const name of ["run", "db", "empty"]) {
    tree.set(`var/lib/openntpd/${name}`, { kind: "folder" });
  }
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    tree.set(name, { kind: "link", target: `usr/${name}` });
  }
  // What who logs in by SSH is given; nothing of ours runs by it.
  tree.set("usr/bin/sh", { kind: "link", target: "busybox" });
  // The loader's path is fixed in every program.
  tree.set("usr/lib64/ld-linux-x86-64.so.2", {
    kind: "link",
    target: "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
  });
  const text = (path: string, lines: string[]) =>
    tree.set(path, { kind: "file", bytes: new TextEncoder().encode(lines.join("\n") + "\n") });
  text("etc/passwd", [
    // There is no password: what logs in by SSH has a key, and is given a shell.
    "root:x:0:0::/:/bin/sh",
    "console:x:990:990::/run/denovisor/console:/bin/false",
    // What it asks with sees nothing but this folder.
    "ntpd:x:991:991::/var/lib/openntpd/empty:/bin/false",
  ]);
  text("etc/group", ["root:x:0:", "console:x:990:", "ntpd:x:991:"]);
  text("etc/hosts", ["127.0.0.1 localhost", "::1 localhost", "127.0.1.1 denovisor"]);
  text("etc/nsswitch.conf", ["hosts: files dns"]);
  tree.set("etc/resolv.conf", { kind: "link", target: "/run/denovisor/resolv.conf" });
}

async function addFile(tree: Tree, path: string, source: string): Promise<void> {
  const { mode } = await Deno.stat(source);
  const bytes = await Deno.readFile(source);
  tree.set(path, { kind: "file", mode: (mode ?? 0) & 0o111 ? 0o755 : 0o644, bytes });
}

async function digestOf(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}

async function addModules(tree: Tree, folder: string): Promise<ModuleIndexData> {
  const files = (await filesBelow(folder)).filter((it) => /\.ko(\.xz)?$/.test(it));
  const index = await chooseModules(
    WANTED_MODULES,
    files,
    async (file) => parseModule(await readModule(`${folder}/${file}`)),
  );
  // As they are packed: the root is in memory for good, most are never loaded, and unpacked they would
  // take six times as much.
  for (const module of Object.values(index.modules)) {
    const bytes = await Deno.readFile(`${folder}/${module.file}`);
    tree.set(`usr/lib/modules/${module.file}`, { kind: "file", bytes });
  }
  tree.set("usr/lib/modules/index.json", {
    kind: "file",
    bytes: new TextEncoder().encode(JSON.stringify(index)),
  });
  return index;
}

async function readModule(path: string): Promise<Uint8Array> {
  if (path.endsWith(".ko")) return await Deno.readFile(path);
  const { words: [program, ...args], env } = await toolCommand(["xz", "-dc", path]);
  const { success, stdout } = await new Deno.Command(program, { args, env }).output();
  if (!success) throw new Error(`Cannot unpack the kernel module "${path}": xz failed`);
  return stdout;
}

async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
    if (isDirectory) files.push(...await filesBelow(folder, `${prefix}${name}/`));
    else files.push(prefix + name);
  }
  return files.sort();
}
