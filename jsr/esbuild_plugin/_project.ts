import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** What a project's deno.json says about where modules are. */
export interface Project {
  root: string;
  imports: Record<string, string>;
  /** By package name. */
  links: Map<string, Link>;
}

interface Link {
  dir: string;
  /** From "." or "./sub" to a file below `dir`. */
  exports: Record<string, string>;
}

export type Mapped =
  | { kind: "file"; path: string }
  | { kind: "builtin"; specifier: string }
  | { kind: "package"; specifier: string; from: string };

/** The nearest deno.json at or above `dir`. */
export function findConfig(dir: string): string {
  for (let at = dir;; at = dirname(at)) {
    const path = join(at, "deno.json");
    if (existsSync(path)) return path;
    if (at === dirname(at)) {
      throw new Error(`Cannot find a deno.json at or above "${dir}": write one, or set configPath`);
    }
  }
}

export function readProject(configPath: string): Project {
  const root = dirname(resolve(configPath));
  const config = JSON.parse(readFileSync(configPath, "utf8"));
  const links = new Map<string, Link>();
  for (const entry of config.links ?? []) {
    const dir = join(root, entry);
    const { name, exports } = JSON.parse(readFileSync(join(dir, "deno.json"), "utf8"));
    links.set(name, { dir, exports: typeof exports === "string" ? { ".": exports } : exports });
  }
  return { root, imports: config.imports ?? {}, links };
}

/** Where a specifier that is not a relative path leads. */
export function mapSpecifier(project: Project, specifier: string): Mapped {
  if (specifier.startsWith("node:") || builtinModules.includes(specifier)) {
    return { kind: "builtin", specifier: specifier.replace(/^(node:)?/, "node:") };
  }
  if (specifier.startsWith("file:")) return { kind: "file", path: fileURLToPath(specifier) };
  const target = byImports(project.imports, specifier) ?? specifier;
  if (target.startsWith("./") || target.startsWith("../")) {
    return { kind: "file", path: join(project.root, target) };
  }
  if (target.startsWith("jsr:")) return byLinks(project, target);
  const { name, subpath } = splitPackage(target.replace(/^npm:\/?/, ""));
  return { kind: "package", specifier: name + subpath, from: project.root };
}

/** The longest entry that is the specifier or a folder above it; Deno lets a package stand for both. */
function byImports(imports: Record<string, string>, specifier: string): string | undefined {
  let best: string | undefined;
  for (const key of Object.keys(imports)) {
    const folder = key.endsWith("/") ? key : `${key}/`;
    if (specifier !== key && !specifier.startsWith(folder)) continue;
    if (best === undefined || key.length > best.length) best = key;
  }
  return best === undefined ? undefined : imports[best] + specifier.slice(best.length);
}

function byLinks(project: Project, target: string): Mapped {
  const { name, subpath } = splitPackage(target.replace(/^jsr:\/?/, ""));
  const link = project.links.get(name);
  if (!link) {
    throw new Error(
      `Cannot resolve "${target}": no entry of "links" in deno.json holds a package named ${name}`,
    );
  }
  const file = link.exports[`.${subpath}`];
  if (!file) {
    throw new Error(
      `Cannot resolve "${target}": ${name} exports only ${Object.keys(link.exports).join(", ")}`,
    );
  }
  return { kind: "file", path: join(link.dir, file) };
}

/** "@scope/name@^1.2/sub/path" is the name "@scope/name" and the subpath "/sub/path". */
export function splitPackage(specifier: string): { name: string; subpath: string } {
  const match = /^((?:@[^/@]+\/)?[^/@]+)(?:@[^/]*)?(\/.*)?$/.exec(specifier);
  if (!match) {
    throw new TypeError(`Cannot parse package "${specifier}": expected name@version/path`);
  }
  return { name: match[1], subpath: match[2] ?? "" };
}
