import { denoPlugin } from "@deno/esbuild-plugin";
import * as esbuild from "esbuild";
import { basename, extname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILD_ID_PLACEHOLDER } from "../build_id.ts";

export interface BundleOptions {
  root: string;
  islands: string[];
  target: string | string[];
  isProduction: boolean;
}

export interface Bundle {
  /** The file name of the script that hydrates islands. */
  client: string;
  /** By an island module's path. */
  islands: Map<string, { fileName: string; name: string }>;
  /** By file name, which holds a hash of the content. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
}

const CLIENT = "fresh-runtime";

/** Bundles the browser's code; what several islands import is split off and shared. */
export async function bundle(options: BundleOptions): Promise<Bundle> {
  const names = nameModules(options.islands);
  const entries = [...names].map(([path, name]) => ({ in: path, out: name }));
  const { outputFiles, metafile } = await esbuild.build({
    entryPoints: [{
      in: fileURLToPath(new URL("../client/main.ts", import.meta.url)),
      out: CLIENT,
    }, ...entries],
    entryNames: "[name]-[hash]",
    chunkNames: "chunk-[hash]",
    outdir: options.root,
    absWorkingDir: options.root,
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "browser",
    target: options.target,
    minify: options.isProduction,
    sourcemap: options.isProduction ? false : "inline",
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { FRESH_BUILD_ID: JSON.stringify(BUILD_ID_PLACEHOLDER) },
    plugins: [denoPlugin()],
    logLevel: "warning",
  });
  const files = new Map(
    outputFiles.map(({ path, contents }) =>
      [
        relative(options.root, path),
        contents as Uint8Array<ArrayBuffer>,
      ] as const
    ),
  );
  const entryNamed = (name: string) => {
    const pattern = new RegExp(`^${name}-[A-Z0-9]{8}\\.js$`);
    const found = Object.entries(metafile.outputs).find(([file, output]) =>
      output.entryPoint && pattern.test(basename(file))
    );
    if (!found) {
      throw new Error(`Cannot bundle "${name}": esbuild wrote no file for it`);
    }
    return basename(found[0]);
  };
  return {
    client: entryNamed(CLIENT),
    islands: new Map(
      [...names].map((
        [path, name],
      ) => [path, { fileName: entryNamed(name), name }]),
    ),
    files,
  };
}

/** An identifier for every module, after its file. */
function nameModules(paths: string[]): Map<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const path of paths) {
    const base = basename(path, extname(path)).replaceAll(/\W/g, "_").replace(
      /^(?=\d)/,
      "_",
    );
    let name = base;
    for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
    taken.add(name);
    names.set(path, name);
  }
  return names;
}
