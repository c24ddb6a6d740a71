import type { ComponentType } from "preact";
import { join } from "node:path";
import { setBuildId } from "../build_id.ts";
import type { Command } from "./commands.ts";
import { type FileRoute, toCommands } from "./fs_routes.ts";

/** A component that the browser brings to life. */
export interface Island {
  /** Unique in the app. */
  name: string;
  /** What its module exports it as. */
  exportName: string;
  /** Its module's address. */
  file: string;
}

export interface StaticFile {
  contentType: string;
  /** For ETag; of the content. */
  hash: string;
  /** Whether its address changes with its content. */
  immutable: boolean;
  size: number;
  open(): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
}

/** What a build found and made. */
export interface BuildCache {
  root: string;
  islands: Map<ComponentType, Island>;
  /** The address of the script that hydrates islands. */
  clientEntry: string;
  fsCommands(): Command<unknown>[];
  staticFile(pathname: string): Promise<StaticFile | null>;
}

/** What snapshot.js holds. */
export interface Snapshot {
  buildId: string;
  clientEntry: string;
  islands: Map<ComponentType, Island>;
  fsRoutes: FileRoute[];
  /** By pathname; `path` is relative to the app's root. */
  staticFiles: Record<
    string,
    { path: string; contentType: string; hash: string; immutable: boolean }
  >;
}

/** A production build: modules are imported by the snapshot, static files are read from disk. */
export class DiskBuildCache implements BuildCache {
  readonly root: string;
  readonly islands: Map<ComponentType, Island>;
  readonly clientEntry: string;
  #snapshot: Snapshot;

  constructor(root: string, snapshot: Snapshot) {
    setBuildId(snapshot.buildId);
    this.root = root;
    this.islands = snapshot.islands;
    this.clientEntry = snapshot.clientEntry;
    this.#snapshot = snapshot;
  }

  fsCommands(): Command<unknown>[] {
    return toCommands(this.#snapshot.fsRoutes);
  }

  async staticFile(pathname: string): Promise<StaticFile | null> {
    const files = this.#snapshot.staticFiles;
    if (!Object.hasOwn(files, pathname)) return null;
    const { path, contentType, hash, immutable } = files[pathname];
    const file = join(this.root, path);
    const { size } = await Deno.stat(file);
    const open = async () => (await Deno.open(file)).readable;
    return { contentType, hash, immutable, size, open };
  }
}

/** The islands among a module's exports; `names` holds those already taken. */
export function islandsOf(
  module: Record<string, unknown>,
  options: { file: string; fallbackName: string; names: Set<string> },
): [ComponentType, Island][] {
  const found: [ComponentType, Island][] = [];
  for (const [exportName, value] of Object.entries(module)) {
    if (typeof value !== "function") continue;
    const base = exportName === "default" ? options.fallbackName : exportName;
    let name = base;
    for (let i = 1; options.names.has(name); i++) name = `${base}_${i}`;
    options.names.add(name);
    found.push([value as ComponentType, {
      name,
      exportName,
      file: options.file,
    }]);
  }
  return found;
}
