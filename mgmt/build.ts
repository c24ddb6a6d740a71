/**
 * Builds the console. Without arguments, into `_fresh` beside this file, for `main.ts`; with
 * `--out DIR` also for the appliance:
 *
 * - `DIR/console.js`: the process, with everything it imports
 * - `DIR/mgmt/`: the static files, for its option `--assets`
 *
 * @module
 */
import { denoPlugin } from "@deno/esbuild-plugin";
import { parseArgs } from "@std/cli";
import { dirname, join } from "@std/path";
import * as esbuild from "esbuild";
import { Builder } from "fresh/dev";

const root = import.meta.dirname!;
const built = join(root, "_fresh");

export interface BuildResult {
  serverBytes: number;
}

/** Builds into `_fresh`. */
export async function buildConsole(): Promise<void> {
  await buildStyles();
  const builder = new Builder({ root, serverEntry: "app.ts" });
  await builder.build();
}

/** Builds for the appliance; the folder `out` then needs nothing from anywhere else. */
export async function buildAppliance(out: string): Promise<BuildResult> {
  await buildConsole();
  await Deno.mkdir(out, { recursive: true });
  const entry = join(built, "console_entry.js");
  await Deno.writeTextFile(
    entry,
    `import "../gate/assets_root.ts";
import server from "./server.js";
import { parseOptions, exitOnError } from "../gate/start.ts";
import { main } from "../gate/run.ts";
await exitOnError(async () => await main(parseOptions(Deno.args), server.fetch));
`,
  );
  await esbuild.build({
    entryPoints: [entry],
    outfile: join(out, "console.js"),
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["deno", "module", "import", "default"],
    target: "esnext",
    minify: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    // One file has no folder of its own: static files are found by the option --assets.
    define: { "import.meta.dirname": "globalThis.consoleBuildRoot" },
    // Terminals are for browsers; the server never imports them.
    external: ["@xterm/*"],
    plugins: [denoPlugin()],
    logLevel: "warning",
  });
  for (const part of ["_fresh/static", "static"]) {
    await copyFolder(join(root, part), join(out, "mgmt", part));
  }
  return { serverBytes: (await Deno.stat(join(out, "console.js"))).size };
}

async function buildStyles(): Promise<void> {
  await esbuild.build({
    entryPoints: [join(root, "styles", "console.css")],
    outfile: join(root, "static", "console.css"),
    absWorkingDir: root,
    bundle: true,
    minify: true,
    target: ["chrome109", "firefox109", "safari16"],
    plugins: [denoPlugin()],
    logLevel: "warning",
  });
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.remove(to, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}

if (import.meta.main) {
  const { out } = parseArgs(Deno.args, {
    string: ["out"],
    unknown: (name) => {
      console.error(`Cannot build the console: unknown option "${name}"`);
      Deno.exit(2);
    },
  });
  try {
    if (out) {
      const { serverBytes } = await buildAppliance(out);
      console.log(`built ${join(out, "console.js")} (${Math.round(serverBytes / 1024)} KiB)`);
    } else {
      await buildConsole();
      console.log(`built ${join(dirname(built), "_fresh")}`);
    }
  } finally {
    await esbuild.stop();
  }
}
