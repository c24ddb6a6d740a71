/**
 * The comments by which the browser finds islands, their slots and partials in a page's HTML. Each
 * opening comment has a closing one among its siblings.
 *
 * @module
 */

export type Marker =
  /** `index` is its place in the page's list of islands. */
  | { kind: "island"; index: number }
  /** A vnode among an island's props, already rendered. */
  | { kind: "slot"; index: number; prop: string }
  | { kind: "partial"; name: string; mode: string };

export function openText(marker: Marker): string {
  switch (marker.kind) {
    case "island":
      return `fresh:island:${marker.index}`;
    case "slot":
      return `fresh:slot:${marker.index}:${marker.prop}`;
    case "partial":
      return `fresh:partial:${marker.mode}:${marker.name}`;
  }
}

export const closeText = (kind: Marker["kind"]): string => `/fresh:${kind}`;

/** What a comment opens; null where it is none of ours. */
export function parseMarker(text: string): Marker | null {
  const match = /^fresh:(island|slot|partial):([^:]+)(?::(.+))?$/.exec(text);
  if (!match) return null;
  const [, kind, first, rest = ""] = match;
  if (kind === "partial") return { kind, mode: first, name: rest };
  const index = Number(first);
  if (!Number.isSafeInteger(index)) return null;
  return kind === "island" ? { kind, index } : { kind: "slot", index, prop: rest };
}

/** The id of the element whose text is a {@linkcode PageState}. */
export const STATE_ID = "__FRSH_STATE";

/** What the browser must know of a page to bring its islands to life. */
export interface PageState {
  buildId: string;
  /** By an island's name: its module's address and what that exports it as. */
  modules: Record<string, [file: string, exportName: string]>;
  /** A serialized list of {@linkcode IslandUse}. */
  islands: string;
}

export type IslandUse = [
  name: string,
  key: unknown,
  props: Record<string, unknown>,
];

/** The id of the template that holds a slot which its island did not show. */
export const slotTemplateId = (index: number, prop: string): string =>
  `fresh-slot-${index}-${prop}`;
