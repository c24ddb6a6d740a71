import type { ComponentChildren, VNode } from "preact";
import { buildId } from "./build_id.ts";

/** Whether this code runs in a browser. */
export const IS_BROWSER: boolean = typeof document !== "undefined";

/** The query parameter that names the build an asset belongs to. */
export const ASSET_KEY = "__frsh_c";

/**
 * A static file's address for this build, which browsers may keep for a year. Other origins' and
 * already marked addresses stay as they are.
 */
export function asset(path: string): string {
  if (
    !path.startsWith("/") || path.startsWith("//") ||
    path.includes(`${ASSET_KEY}=`)
  ) return path;
  const [beforeHash, ...hash] = path.split("#");
  const mark = `${beforeHash.includes("?") ? "&" : "?"}${ASSET_KEY}=${buildId()}`;
  return [beforeHash + mark, ...hash].join("#");
}

export interface HeadProps {
  children?: ComponentChildren;
}

/** Moves its children into the document's head when the page is rendered on the server. */
export function Head(_props: HeadProps): VNode | null {
  return null;
}

export interface PartialProps {
  children?: ComponentChildren;
  /** Unique in the page. */
  name: string;
  /** What a navigation does with the new content; it replaces the old by default. */
  mode?: "replace" | "prepend" | "append";
}

/** A part of the page that navigation may exchange while the rest stays. */
export function Partial(props: PartialProps): VNode {
  return props.children as VNode;
}
