/**
 * The part of the appliance's root that is ours: the bundled sources and what they are given.
 *
 * @module
 */
import { denoPlugin } from "@deno/esbuild-plugin";
import * as esbuild from "esbuild";
import { CHECKOUT } from "../../scripts/setup/checkout.ts";
import { run } from "../../scripts/setup/command.ts";
import { yamlPlugin } from "../../scripts/setup/yaml_plugin.ts";
import { SERVICES, type ServiceSpec } from "../services.ts";
import type { Tree } from "./cpio.ts";

/** What runs on the appliance: the name below /app, and the module relative to the checkout. */
export const ENTRIES: Readonly<Record<string, string>> = {
  boot: "bootimg/boot/main.ts",
  supervisor: "hypervisor/supervisor/main.ts",
  vmm: "hypervisor/vmm/main.ts",
};

/** Where modules lie that are started as Workers beside their process's main module. */
const WORKER_FOLDERS = ["hypervisor/vmm", "hypervisor/supervisor"];

/** What the console's build makes of its routes. */
const CONSOLE_ENTRY = "mgmt/_fresh/console_entry.js";

export interface AppRecipe {
  version: string;
  /** By name, as {@linkcode ENTRIES}. */
  entries?: Readonly<Record<string, string>>;
  services?: readonly ServiceSpec[];
  /** A folder with what the console's own build made. */
  console: string;
  /** The public key, as PEM, that updates must be signed with; empty for none. */
  updateKey: string;
}

/** Has the console build itself into `target`: `console.js` and the folder `mgmt` of its assets. */
export async function buildConsole(target: string): Promise<void> {
  // As a process of its own: the console's build belongs to the console's room.
  await run([Deno.execPath(), "run", "-A", "--no-check", "mgmt/build.ts", "--out", target], {
    cwd: CHECKOUT,
  });
}

/** The tree below /app. */
export async function appTree(recipe: AppRecipe): Promise<Tree> {
  const { version, entries = ENTRIES, services = SERVICES } = recipe;
  const tree: Tree = new Map();
  const text = (name: string, content: string, mode = 0o644) =>
    tree.set(`app/${name}`, { kind: "file", mode, bytes: new TextEncoder().encode(content) });
  text("version", version + "\n");
  text("update.pub", recipe.updateKey);
  text("services.json", JSON.stringify(services));
  text("dhcp.sh", await Deno.readTextFile(`${CHECKOUT}/bootimg/boot/dhcp.sh`), 0o755);
  for (const [name, bytes] of await bundle({ ...entries, ...await workers() })) {
    tree.set(`app/${name}`, { kind: "file", bytes });
  }
  await addFolder(tree, "app", recipe.console);
  return tree;
}

/** Paths of all modules that are bundled, relative to the checkout; the console is built before. */
export async function moduleEntries(
  entries: Readonly<Record<string, string>> = ENTRIES,
): Promise<string[]> {
  const all = [...Object.values(entries), ...Object.values(await workers()), CONSOLE_ENTRY];
  return all.map((it) => `${CHECKOUT}/${it}`);
}

async function workers(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const folder of WORKER_FOLDERS) {
    try {
      for await (const { name } of Deno.readDir(`${CHECKOUT}/${folder}`)) {
        if (name.endsWith("_worker.ts")) {
          found[name.replace(/\.ts$/, "")] = `${folder}/${name}`;
        }
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return found;
}

/** Bundles modules, by the names of what comes out. */
export async function bundle(
  entries: Readonly<Record<string, string>>,
): Promise<[string, Uint8Array][]> {
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: CHECKOUT,
      entryPoints: Object.entries(entries).map(([out, path]) => ({ out, in: `./${path}` })),
      outdir: "app",
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "esnext",
      jsx: "automatic",
      jsxImportSource: "preact",
      minifyWhitespace: true,
      legalComments: "none",
      logLevel: "error",
      plugins: [yamlPlugin, denoPlugin()],
    });
    for (const { path, text } of outputFiles) {
      const [, name] = /\b__require\("([^"]+)"\)/.exec(text) ?? [];
      if (name) throw new Error(`Cannot bundle "${path}": it would require "${name}" as it starts`);
      // Deno's layer for Node looks into /proc as it is loaded, and process 1 mounts that itself.
      if (path.endsWith("/boot.js") && /\b(?:from|import)\s*\(?"node:/.test(text)) {
        throw new Error(
          `Cannot bundle "${path}": process 1 starts where Node's modules cannot load`,
        );
      }
    }
    return outputFiles
      .map((it): [string, Uint8Array] => [it.path.slice(`${CHECKOUT}/app/`.length), it.contents])
      .sort(([a], [b]) => a < b ? -1 : 1);
  } finally {
    await esbuild.stop();
  }
}

async function addFolder(tree: Tree, path: string, folder: string): Promise<void> {
  tree.set(path, { kind: "folder" });
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) await addFolder(tree, `${path}/${name}`, `${folder}/${name}`);
    else {
      tree.set(`${path}/${name}`, {
        kind: "file",
        bytes: await Deno.readFile(`${folder}/${name}`),
      });
    }
  }
}
