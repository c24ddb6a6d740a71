import { extname, join, relative } from "node:path";

/** A module below the routes folder. */
export interface RouteFile {
  /** Such as "guests/[id]". */
  id: string;
  path: string;
}

export interface Crawled {
  routes: RouteFile[];
  /** Paths of modules that export islands. */
  islands: string[];
}

interface CrawlOptions {
  routeDir: string;
  islandDir: string;
  ignore: RegExp[];
}

const MODULE = /\.(?:tsx?|jsx?|mjs)$/;

/** Finds routes and islands; a folder "(_islands)" among the routes holds islands too. */
export async function crawl(options: CrawlOptions): Promise<Crawled> {
  const isModule = (path: string) =>
    MODULE.test(path) && !options.ignore.some((pattern) => pattern.test(path));
  const islands = (await filesBelow(options.islandDir)).filter(isModule);
  const routes: RouteFile[] = [];
  for (const path of (await filesBelow(options.routeDir)).filter(isModule)) {
    const id = relative(options.routeDir, path).slice(0, -extname(path).length);
    const folders = id.split("/").slice(0, -1);
    if (folders.includes("(_islands)")) islands.push(path);
    // Other "(_name)" folders hold what routes share.
    else if (!folders.some((folder) => folder.startsWith("(_"))) {
      routes.push({ id, path });
    }
  }
  return { routes, islands };
}

/** Sorted, so that a build of the same sources is the same build; none where there is no folder. */
export async function filesBelow(dir: string): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const entry of Deno.readDir(dir)) {
      const path = join(dir, entry.name);
      if (entry.isDirectory) paths.push(...await filesBelow(path));
      else paths.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return paths.sort();
}
