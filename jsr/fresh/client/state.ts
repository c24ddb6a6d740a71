import { computed, signal } from "@preact/signals";
import { type IslandUse, type PageState, STATE_ID } from "../markers.ts";
import { deserialize } from "../serialize.ts";

/** What the server wrote about a page's islands; null for a page without. */
export function readState(page: Document): PageState | null {
  const text = page.getElementById(STATE_ID)?.textContent;
  return text ? JSON.parse(text) : null;
}

/** Where a vnode that the server rendered lies: the content of island `index`'s property. */
export class SlotRef {
  constructor(readonly index: number, readonly prop: string) {}
}

export function readIslands(state: PageState): IslandUse[] {
  return deserialize(state.islands, {
    Signal: (value) => signal(value),
    Computed: (value) => computed(() => value),
    Slot: (value) => {
      const { index, prop } = value as SlotRef;
      return new SlotRef(index, prop);
    },
  }) as IslandUse[];
}
