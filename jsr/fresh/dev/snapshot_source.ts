import type { Snapshot } from "../server/build_cache.ts";
import type { RouteFile } from "./crawl.ts";

/** A snapshot whose modules are named instead of imported. */
export interface SnapshotParts {
  buildId: string;
  clientEntry: string;
  routes: RouteFile[];
  islands: { path: string; name: string; file: string }[];
  staticFiles: Snapshot["staticFiles"];
}

const HEADER = "// Written by Builder.build(); changes will be lost.\n";

/** A module that imports routes and islands and exports a {@linkcode Snapshot}. */
export function snapshotSource(
  parts: SnapshotParts,
  specifier: (path: string) => string,
): string {
  const text = JSON.stringify;
  const importAll = (name: string, path: string) =>
    `import * as ${name} from ${text(specifier(path))};`;
  return `${HEADER}import { islandsOf } from "fresh/internal";
${parts.islands.map(({ path }, i) => importAll(`island${i}`, path)).join("\n")}
${parts.routes.map(({ path }, i) => importAll(`route${i}`, path)).join("\n")}

export const buildId = ${text(parts.buildId)};
export const clientEntry = ${text(parts.clientEntry)};
const names = new Set();
export const islands = new Map([
${
    parts.islands.map(({ name, file }, i) =>
      `  ...islandsOf(island${i}, { file: ${text(file)}, fallbackName: ${text(name)}, names }),`
    ).join("\n")
  }
]);
export const fsRoutes = [
${
    parts.routes.map(({ id }, i) => `  { id: ${text(id)}, mod: route${i} },`)
      .join("\n")
  }
];
export const staticFiles = ${JSON.stringify(parts.staticFiles, null, 2)};
`;
}

/** A module that gives the snapshot to the app and exports what a server calls. */
export function serverEntry(paths: { root: string; app: string }): string {
  return `${HEADER}import { join } from "node:path";
import { DiskBuildCache, setBuildCache } from "fresh/internal";
import { app } from ${JSON.stringify(paths.app)};
import * as snapshot from "./snapshot.js";

const root = join(import.meta.dirname, ${JSON.stringify(paths.root)});
setBuildCache(app, new DiskBuildCache(root, snapshot), "production");

export default { fetch: app.handler() };
`;
}
