/**
 * Stands in for jsr:@deno/esbuild-plugin, which only JSR serves: lets esbuild resolve what Deno
 * resolves, by the `imports` and `links` of the nearest deno.json and by node_modules.
 *
 * ```ts ignore
 * await esbuild.build({ entryPoints: ["main.ts"], bundle: true, plugins: [denoPlugin()] });
 * ```
 *
 * @module
 */
import { resolve } from "node:path";
import type { Plugin, PluginBuild } from "esbuild";
import { findConfig, mapSpecifier, type Project, readProject } from "./_project.ts";

export interface DenoPluginOptions {
  /** The deno.json to go by; the nearest one above esbuild's working directory by default. */
  configPath?: string;
}

/** A plugin that resolves bare, `npm:`, `jsr:` and `file:` specifiers as Deno does. */
export function denoPlugin(options: DenoPluginOptions = {}): Plugin {
  return {
    name: "deno",
    setup(build) {
      const cwd = resolve(build.initialOptions.absWorkingDir ?? Deno.cwd());
      const project = readProject(options.configPath ?? findConfig(cwd));
      build.onResolve({ filter: /^[^./]/ }, (args) => {
        // Set below, so that a question handed back to esbuild does not come here again.
        if (args.pluginData === handedBack) return undefined;
        if (args.kind === "entry-point" && !args.path.includes(":")) return undefined;
        return answer(build, project, args.path, args);
      });
    },
  };
}

const handedBack = Symbol("handed back to esbuild");

type Asked = Parameters<Parameters<PluginBuild["onResolve"]>[1]>[0];

function answer(build: PluginBuild, project: Project, specifier: string, asked: Asked) {
  // What lies in node_modules was written for Node: esbuild knows its rules.
  const mapped = asked.resolveDir.includes("/node_modules/")
    ? { kind: "package" as const, specifier, from: asked.resolveDir }
    : mapSpecifier(project, specifier);
  switch (mapped.kind) {
    case "file":
      return { path: mapped.path, namespace: "file" };
    case "builtin":
      return { path: mapped.specifier, external: true };
    case "package":
      return build.resolve(mapped.specifier, {
        kind: asked.kind === "entry-point" ? "import-statement" : asked.kind,
        importer: asked.importer,
        resolveDir: mapped.from,
        pluginData: handedBack,
      });
  }
}
