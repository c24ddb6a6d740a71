import { buildId } from "../build_id.ts";
import { ASSET_KEY } from "../shared.ts";
import { getCache } from "./context.ts";
import type { MiddlewareFn } from "./types.ts";

const FOREVER = "public, max-age=31536000, immutable";
const CHECK_FIRST = "no-cache";

/** Serves the files of the static folders and what the build made. */
export function staticFiles<State>(): MiddlewareFn<State> {
  return async (ctx) => {
    const { config, req, url } = ctx;
    const path = url.pathname.slice(config.basePath.length);
    const file = await getCache(ctx)?.staticFile(safeDecode(path));
    if (!file) return await ctx.next();
    if (req.method !== "GET" && req.method !== "HEAD") {
      return new Response("Method not allowed", {
        status: 405,
        headers: { allow: "GET, HEAD" },
      });
    }
    const key = url.searchParams.get(ASSET_KEY);
    if (key !== null && key !== buildId()) {
      // An older page's address: its long life must not be given to this build's content.
      return new Response(null, {
        status: 307,
        headers: { location: url.pathname },
      });
    }
    const etag = `"${file.hash}"`;
    const isProduction = config.mode === "production";
    const headers = new Headers({
      "content-type": file.contentType,
      "cache-control": isProduction && (file.immutable || key) ? FOREVER : CHECK_FIRST,
      etag,
    });
    const known = req.headers.get("if-none-match")?.split(",").map((tag) =>
      tag.trim().replace(/^W\//, "")
    );
    if (known?.includes(etag)) {
      return new Response(null, { status: 304, headers });
    }
    headers.set("content-length", String(file.size));
    return new Response(req.method === "HEAD" ? null : await file.open(), {
      headers,
    });
  };
}

function safeDecode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
