/**
 * The part of the second variant's root that is not free software: what network cards and other devices
 * ask the host for before they work, or work well.
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
import type { ModuleIndexData } from "../modules/module_index.ts";
import { pack } from "./compress.ts";
import type { Tree } from "./cpio.ts";
import { TOOLS_LOCK } from "./tools.ts";

/** The packages that firmware is taken from, relative to the checkout. */
export const FIRMWARE_LOCK = "bootimg/firmware.lock";
const FOLDER = "usr/lib/firmware";
/** Bumped when the code below would make another root from the same packages. */
const RECIPE = 1;

/** What the root holds. */
export interface FirmwareContents {
  packages: DebFacts[];
  /** The package that each file is of; null for one that Debian does not have. */
  files: Record<string, string | null>;
}

/** Every file that the modules may ask for, sorted. */
export function firmwareOf(index: ModuleIndexData): string[] {
  return [...new Set(Object.values(index.modules).flatMap((it) => it.firmware))].sort();
}

/**
 * A line for each file that a module may ask for: the module, the file, and the package that the image
 * has it of; "-" where the image lacks it.
 */
export function firmwareTable(index: ModuleIndexData, contents: FirmwareContents | null): string {
  const rows = Object.entries(index.modules).flatMap(([name, { firmware }]) =>
    firmware.map((file) => [name, file, contents?.files[file] ?? "-"])
  );
  return rows.map((row) => row.join("\t") + "\n").sort().join("");
}

/** The firmware for these modules as a packed root, built on the first call. */
export async function firmwareRoot(
  index: ModuleIndexData,
): Promise<{ archive: string; contents: FirmwareContents }> {
  const wanted = firmwareOf(index);
  const folder = await builtOnce({
    name: "bootimg-firmware",
    madeFrom: JSON.stringify([
      RECIPE,
      await readLock(FIRMWARE_LOCK),
      await readLock(TOOLS_LOCK),
      wanted,
    ]),
    step: "packing firmware for network cards",
    build: (target) => build(target, wanted),
  });
  const contents = JSON.parse(await Deno.readTextFile(`${folder}/contents.json`));
  return { archive: `${folder}/firmware.cpio.zst`, contents };
}

async function build(target: string, wanted: readonly string[]): Promise<void> {
  const staging = `${CACHE}/.firmware-staging`;
  await removeTree(staging);
  try {
    const lock = await readLock(FIRMWARE_LOCK);
    const names = Object.keys(lock.trixie ?? {});
    const debs = await fetchDebs(FIRMWARE_LOCK, "trixie", names);
    const contents: FirmwareContents = { packages: [], files: {} };
    const tree: Tree = new Map();
    for (const file of wanted) contents.files[file] = null;
    for (const name of names) {
      await unpackDeb(debs[name], `${staging}/${name}`);
      const facts = await describeDeb(debs[name]);
      contents.packages.push(facts);
      // A package's licence goes with what is taken of it.
      const licence = `usr/share/doc/${facts.package}/copyright`;
      tree.set(licence, {
        kind: "file",
        bytes: await Deno.readFile(`${staging}/${name}/${licence}`),
      });
      for (const file of wanted) {
        const bytes = await Deno.readFile(`${staging}/${name}/${FOLDER}/${file}`).catch(() => null);
        if (bytes === null || contents.files[file] !== null) continue;
        contents.files[file] = facts.package;
        tree.set(`${FOLDER}/${file}`, { kind: "file", bytes });
      }
    }
    const used = new Set(Object.values(contents.files));
    const unused = contents.packages.find((it) => !used.has(it.package));
    if (unused) {
      throw new Error(
        `Cannot pack firmware: nothing is wanted of "${unused.package}"; take it out of ${FIRMWARE_LOCK}`,
      );
    }
    await Deno.mkdir(target);
    await pack(tree, { path: `${target}/firmware.cpio.zst`, level: 19 });
    await Deno.writeTextFile(`${target}/contents.json`, JSON.stringify(contents));
  } finally {
    await removeTree(staging);
  }
}
