/**
 * Builds the appliance's image from pinned packages and the checkout.
 *
 * @module
 */
import { exists, removeTree } from "../../scripts/setup/built_once.ts";
import { CACHE, CHECKOUT, OUT, progress } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";
import type { DebFacts } from "../../scripts/setup/debs.ts";
import { describeDeb, fetchDebs } from "../../scripts/setup/debs.ts";
import config from "../../deno.json" with { type: "json" };
import { BIOS_CORE_SECTOR } from "../slots/places.ts";
import { type AppRecipe, appTree, buildConsole, moduleEntries } from "./app_root.ts";
import { baseRoot } from "./base_root.ts";
import { makeBootFile } from "./boot_file.ts";
import { type BootLoader, makeBootLoader } from "./boot_loader.ts";
import { pack } from "./compress.ts";
import { makeDiskImage } from "./disk_image.ts";
import { firmwareRoot, firmwareTable } from "./firmware_root.ts";
import { npmPackagesOf, sbom } from "./sbom.ts";
import { enrollmentFiles, type SecureBootKey, sign } from "./secure_boot.ts";
import { checkSize, type ImageParts } from "./size.ts";
import { TOOLS_LOCK, toolsFolder } from "./tools.ts";
import { NO_KEY, readKey, signSystem } from "./update_key.ts";

/** Paths of what a build made. */
export interface ImageResult {
  /** To be written to a disk. */
  image: string;
  /** The whole system as one file: for updates, and to be booted over HTTP. */
  system: string;
  /** Its signature; null without the private half of an update key. */
  signature: string | null;
  /** What it is made of. */
  sbom: string;
  /** What its drivers may ask for in firmware, and what of that it has. */
  firmware: string;
  version: string;
  parts: ImageParts;
}

/** What may differ from the image that is shipped: tests add a process of their own. */
export interface ImageOptions extends Pick<AppRecipe, "entries" | "services"> {
  /** What the system calls its version; the checkout's by default. */
  version?: string;
  /** Where to put what is made; `out` by default. */
  folder?: string;
  /** Builds the variant with firmware that is not free software. */
  firmware?: boolean;
  /** Signs for Secure Boot. */
  secureBoot?: SecureBootKey;
  /** Path of the key that updates are signed with; a system without takes no updates. */
  updateKey?: string;
}

/** The packages of which programs that make the image leave parts of themselves in it. */
const PARTS_OF_TOOLS = ["systemd-boot-efi", "grub-efi-amd64-bin", "grub-pc-bin"];
const SHIM = "shim-unsigned";

/** Builds the image. */
export async function buildImage(options: ImageOptions = {}): Promise<ImageResult> {
  const { folder = OUT, firmware: withFirmware = false, secureBoot: owner, ...rest } = options;
  const { version = config.version } = rest;
  const epoch = await sourceEpoch();
  const key = rest.updateKey === undefined
    ? NO_KEY
    : await readKey(await Deno.readTextFile(rest.updateKey), rest.updateKey);
  await Deno.mkdir(folder, { recursive: true });
  const base = await baseRoot();
  const firmware = withFirmware ? await firmwareRoot(base.contents.modules) : null;
  progress("bundling the appliance's sources");
  await Deno.mkdir(CACHE, { recursive: true });
  const work = await Deno.makeTempDir({ dir: CACHE, prefix: ".image-" });
  try {
    const app = `${work}/app.cpio.zst`;
    const recipe = { ...rest, version, console: `${work}/console`, updateKey: key.publicKey };
    await buildConsole(recipe.console);
    await pack(await appTree(recipe), { path: app, level: 19 });
    progress("assembling the appliance's image");
    const name = `denovisor-${version}${firmware ? "-firmware" : ""}`;
    const made = {
      image: `${work}/${name}.img`,
      system: `${work}/${name}.efi`,
      signature: `${work}/${name}.efi.sig`,
      sbom: `${work}/${name}.spdx.json`,
      firmware: `${work}/${name}.firmware.txt`,
    };
    await makeBootFile(made.system, {
      kernel: base.kernel,
      release: base.release,
      version,
      archives: [base.archive, ...firmware ? [firmware.archive] : [], app],
    });
    if (owner) await sign(made.system, owner, epoch);
    const loader = await makeBootLoader(work, { coreSector: BIOS_CORE_SECTOR });
    const loaderFiles = await filesOf(loader, { work, owner, epoch });
    const enrollment = owner ? await enrollmentFiles(owner, work) : {};
    await makeDiskImage(made.image, {
      system: made.system,
      bios: loader,
      files: { ...loaderFiles, ...enrollment },
      epoch,
    });
    const size = async (file: string) => (await Deno.stat(file)).size;
    const sizes = (files: string[]) => Promise.all(files.map(size));
    const parts = {
      image: await size(made.image),
      loader: (await sizes(Object.values(loaderFiles))).reduce((sum, it) => sum + it, 0) +
        loader.core.length,
      system: await size(made.system),
      kernel: await size(base.kernel),
      base: await size(base.archive),
      firmware: firmware ? await size(firmware.archive) : 0,
      app: await size(app),
    };
    checkSize(parts);
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(made.system));
    await Deno.writeTextFile(
      made.sbom,
      sbom({
        version,
        system: { name: `${name}.efi`, sha256: new Uint8Array(digest).toHex() },
        epoch,
        debian: [
          ...base.contents.packages,
          ...firmware?.contents.packages ?? [],
          ...await packagesOfTools(owner ? [...PARTS_OF_TOOLS, SHIM] : PARTS_OF_TOOLS),
        ],
        npm: await npmPackagesOf(await moduleEntries(rest.entries), `${work}/all.ts`),
        deno: { version: Deno.version.deno, sha256: base.contents.deno },
      }),
    );
    const table = firmwareTable(base.contents.modules, firmware?.contents ?? null);
    await Deno.writeTextFile(made.firmware, table);
    const isSigned = key.privateKey !== null;
    if (key.privateKey) {
      const signed = await signSystem(made.system, { version, key: key.privateKey });
      await Deno.writeTextFile(made.signature, signed);
    }
    const take = async (path: string) => {
      const target = `${folder}/${path.slice(work.length + 1)}`;
      // The folder may be on another file system than the cache.
      await Deno.copyFile(path, `${target}.new`);
      await Deno.rename(`${target}.new`, target);
      return target;
    };
    return {
      version,
      parts,
      image: await take(made.image),
      system: await take(made.system),
      signature: isSigned ? await take(made.signature) : null,
      sbom: await take(made.sbom),
      firmware: await take(made.firmware),
    };
  } finally {
    await removeTree(work);
  }
}

/**
 * The loader's files by where they lie on the boot partition. Under Secure Boot GRUB leaves it to shim to
 * verify what it starts, so shim is started first; without, GRUB alone is less that could fail.
 */
async function filesOf(
  loader: BootLoader,
  options: { work: string; owner?: SecureBootKey; epoch: number },
): Promise<Record<string, string>> {
  const { work, owner, epoch } = options;
  if (!owner) return { "EFI/BOOT/BOOTX64.EFI": loader.efi };
  const shim = `${work}/shimx64.efi`;
  await Deno.copyFile(`${await toolsFolder()}/usr/lib/shim/shimx64.efi`, shim);
  await sign(shim, owner, epoch);
  await sign(loader.efi, owner, epoch);
  return { "EFI/BOOT/BOOTX64.EFI": shim, "EFI/BOOT/grubx64.efi": loader.efi };
}

async function packagesOfTools(names: readonly string[]): Promise<DebFacts[]> {
  const debs = await fetchDebs(TOOLS_LOCK, "trixie", names);
  return await Promise.all(Object.values(debs).map(describeDeb));
}

/** The time that the image's files bear: the last commit's, in seconds. */
async function sourceEpoch(): Promise<number> {
  const given = Deno.env.get("SOURCE_DATE_EPOCH");
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  // A checkout without its history: any fixed time will do (2025-01-01).
  if (!await exists(`${CHECKOUT}/.git`)) return 1_735_689_600;
  const { stdout } = await run(["git", "log", "-1", "--format=%ct"], { cwd: CHECKOUT });
  return Number(stdout.trim());
}
