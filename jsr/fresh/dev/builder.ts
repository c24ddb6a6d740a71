import { encodeHex } from "@std/encoding";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { BUILD_ID_PLACEHOLDER } from "../build_id.ts";
import { App, type ListenOptions, setBuildCache } from "../server/app.ts";
import { DiskBuildCache, islandsOf, type Snapshot } from "../server/build_cache.ts";
import { type Bundle, bundle } from "./bundle.ts";
import { contentType } from "./content_type.ts";
import { crawl, type Crawled, filesBelow } from "./crawl.ts";
import { liveReload } from "./live_reload.ts";
import { serverEntry, type SnapshotParts, snapshotSource } from "./snapshot_source.ts";

export interface BuildOptions {
  /** What browsers the code must run in, as esbuild names them. */
  target?: string | string[];
  /** The app's folder; the others are below it by default. */
  root?: string;
  outDir?: string;
  staticDir?: string | string[];
  islandDir?: string;
  routeDir?: string;
  /** The module that exports `app`. */
  serverEntry?: string;
  /** Files that are neither routes nor islands; tests by default. */
  ignore?: RegExp[];
}

export type ResolvedBuildConfig = Required<Omit<BuildOptions, "staticDir">> & {
  staticDir: string[];
  mode: "development" | "production";
};

const TESTS = /[._]test\.(?:tsx?|jsx?|mjs)$/;

/**
 * Builds an app: bundles its islands, hashes its static files, and writes a server entry whose
 * default export has `fetch`.
 *
 * @example
 * ```ts ignore
 * import { Builder } from "fresh/dev";
 *
 * const builder = new Builder({ root: import.meta.dirname });
 * if (Deno.args.includes("build")) await builder.build();
 * else await builder.listen(() => import("./main.ts"));
 * ```
 */
// deno-lint-ignore no-explicit-any
export class Builder<State = any> {
  config: ResolvedBuildConfig;
  #registered: string[] = [];

  constructor(options: BuildOptions = {}) {
    const root = toPath(options.root ?? ".", Deno.cwd());
    const statics = options.staticDir ?? "static";
    this.config = {
      root,
      mode: "production",
      target: options.target ?? ["chrome109", "firefox109", "safari16"],
      outDir: toPath(options.outDir ?? "_fresh", root),
      staticDir: [statics].flat().map((dir) => toPath(dir, root)),
      islandDir: toPath(options.islandDir ?? "islands", root),
      routeDir: toPath(options.routeDir ?? "routes", root),
      serverEntry: toPath(options.serverEntry ?? "main.ts", root),
      ignore: options.ignore ?? [TESTS],
    };
  }

  /** Adds a module of islands from outside the islands folder. */
  registerIsland(specifier: string): void {
    this.#registered.push(toPath(specifier, this.config.root));
  }

  /** Writes the build to `outDir`; what it returns gives the build to an app in this process. */
  async build(
    options: { mode?: ResolvedBuildConfig["mode"] } = {},
  ): Promise<(app: App<State>) => void> {
    const mode = this.config.mode = options.mode ?? "production";
    const { crawled, bundled } = await this.#bundle();
    const snapshot = await this.#write(crawled, bundled);
    return (app) => setBuildCache(app, new DiskBuildCache(this.config.root, snapshot), mode);
  }

  /** Serves the app, builds again when a file changes, and has open pages load themselves anew. */
  async listen(
    importApp: () => Promise<{ app: App<State> } | App<State>>,
    options: ListenOptions = {},
  ): Promise<void> {
    const apply = await this.build({ mode: "development" });
    const imported = await importApp();
    const app = imported instanceof App ? imported : imported.app;
    apply(app);
    const reload = liveReload();
    let handler = app.handler();
    void (async () => {
      for await (
        const _ of changesIn([this.config.islandDir, ...this.config.staticDir])
      ) {
        try {
          (await this.build({ mode: "development" }))(app);
          handler = app.handler();
          reload.notify();
        } catch (error) {
          console.error(error);
        }
      }
    })();
    await new App().use(reload.middleware).all(
      "*",
      (ctx) => handler(ctx.req, ctx.info),
    )
      .listen(options);
  }

  async #bundle(): Promise<{ crawled: Crawled; bundled: Bundle }> {
    const { root, target, mode } = this.config;
    const crawled = await crawl(this.config);
    crawled.islands.push(...this.#registered);
    const bundled = await bundle({
      root,
      target,
      islands: crawled.islands,
      isProduction: mode === "production",
    });
    return { crawled, bundled };
  }

  async #write(crawled: Crawled, bundled: Bundle): Promise<Snapshot> {
    const { root, outDir, staticDir } = this.config;
    const out = join(outDir, "static");
    await Deno.remove(out, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const dir of staticDir) {
      for (const path of await filesBelow(dir)) {
        files.set(`/${relative(dir, path)}`, await Deno.readFile(path));
      }
    }
    const id = (await hashOf([...files, ...bundled.files].flat())).slice(0, 16);
    const prefix = `/_fresh/js/${id}/`;
    for (const [name, content] of bundled.files) {
      const text = new TextDecoder().decode(content).replaceAll(
        BUILD_ID_PLACEHOLDER,
        id,
      );
      files.set(prefix + name, new TextEncoder().encode(text));
    }

    const parts: SnapshotParts = {
      buildId: id,
      clientEntry: prefix + bundled.client,
      routes: crawled.routes,
      islands: [...bundled.islands].map(([path, { fileName, name }]) => ({
        path,
        name,
        file: prefix + fileName,
      })),
      staticFiles: {},
    };
    for (const [pathname, content] of files) {
      const path = join(out, pathname);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeFile(path, content);
      parts.staticFiles[pathname] = {
        path: relative(root, path),
        contentType: contentType(path),
        hash: (await hashOf([content])).slice(0, 32),
        immutable: pathname.startsWith(prefix),
      };
    }
    const from = (path: string) => relativeImport(outDir, path);
    await Deno.writeTextFile(
      join(outDir, "snapshot.js"),
      snapshotSource(parts, from),
    );
    await Deno.writeTextFile(
      join(outDir, "server.js"),
      serverEntry({
        root: relative(outDir, root),
        app: from(this.config.serverEntry),
      }),
    );
    return await toSnapshot(parts);
  }
}

/** The same as what snapshot.js holds, without writing and importing it. */
async function toSnapshot(parts: SnapshotParts): Promise<Snapshot> {
  const names = new Set<string>();
  const islands: Snapshot["islands"] = new Map();
  for (const { path, name, file } of parts.islands) {
    const module = await import(pathToFileURL(path).href);
    for (
      const [fn, island] of islandsOf(module, {
        file,
        fallbackName: name,
        names,
      })
    ) {
      islands.set(fn, island);
    }
  }
  const fsRoutes = await Promise.all(
    parts.routes.map(async ({ id, path }) => ({
      id,
      mod: await import(pathToFileURL(path).href),
    })),
  );
  const { buildId, clientEntry, staticFiles } = parts;
  return { buildId, clientEntry, islands, fsRoutes, staticFiles };
}

function toPath(path: string, base: string): string {
  if (path.startsWith("file:")) return fileURLToPath(path);
  return isAbsolute(path) ? path : resolve(base, path);
}

function relativeImport(from: string, path: string): string {
  const found = relative(from, path);
  return found.startsWith(".") ? found : `./${found}`;
}

async function hashOf(
  parts: (string | Uint8Array<ArrayBuffer>)[],
): Promise<string> {
  return encodeHex(
    await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer()),
  );
}

/** Once for each burst of changes. */
async function* changesIn(dirs: string[]): AsyncGenerator<void> {
  const present: string[] = [];
  for (const dir of dirs) {
    if (await Deno.stat(dir).then(() => true, () => false)) present.push(dir);
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  let changed = Promise.withResolvers<void>();
  void (async () => {
    for await (const _ of Deno.watchFs(present)) {
      clearTimeout(timer);
      timer = setTimeout(() => changed.resolve(), 100);
    }
  })();
  while (true) {
    await changed.promise;
    changed = Promise.withResolvers();
    yield;
  }
}
