/**
 * Hooks into Preact's rendering on the server: they mark islands, slots and partials in the HTML,
 * collect what `<Head>` holds, and give inline scripts and styles their nonce.
 *
 * @module
 */
import {
  type ComponentChildren,
  type ComponentType,
  Fragment,
  h,
  isValidElement,
  options as preactOptions,
  type VNode,
} from "preact";
import { Signal } from "@preact/signals";
import { closeText, type IslandUse, type Marker, openText, slotTemplateId } from "../markers.ts";
import { serialize } from "../serialize.ts";
import { Head, Partial, type PartialProps } from "../shared.ts";
import type { Island } from "./build_cache.ts";

export interface Collected {
  uses: Map<string, Island>;
  list: IslandUse[];
  head: string;
  /** Slots that their islands did not show, as template elements. */
  templates: string;
  /** Whether links are to be followed by partials. */
  navigates: boolean;
}

interface CollectOptions {
  islands: Map<ComponentType, Island>;
  nonce: string;
  render: (vnode: VNode) => string;
}

interface State extends CollectOptions {
  uses: Map<string, Island>;
  list: IslandUse[];
  head: ComponentChildren[];
  slots: {
    index: number;
    prop: string;
    content: ComponentChildren;
    shown: boolean;
  }[];
  partials: Set<string>;
  navigates: boolean;
}

/** Preact's internal names for the hook and for a vnode's parent; minified by it, so fixed in v10. */
interface Hooks {
  __b?: (vnode: Internal) => void;
}
type Internal = VNode<Record<string, unknown>> & {
  __?: Internal;
  [ROLE]?: "island" | "slot";
};
const ROLE = Symbol("role");

/** Rendering is synchronous, so one page at a time. */
let current: State | null = null;

const hooks = preactOptions as Hooks;
const before = hooks.__b;
hooks.__b = (vnode) => {
  if (current && vnode.type) visit(vnode, current);
  before?.(vnode);
};

/** Renders `vnode` and tells what the browser needs to know of it. */
export function collect(
  vnode: VNode,
  options: CollectOptions,
): { html: string; collected: Collected } {
  const state: State = {
    ...options,
    uses: new Map(),
    list: [],
    head: [],
    slots: [],
    partials: new Set(),
    navigates: false,
  };
  const outer = current;
  current = state;
  try {
    const html = options.render(vnode);
    let templates = "";
    // Rendering one may add more.
    for (let i = 0; i < state.slots.length; i++) {
      const { index, prop, content, shown } = state.slots[i];
      if (shown) continue;
      const id = slotTemplateId(index, prop);
      templates += options.render(h("template", { id }, content) as VNode);
    }
    const head = options.render(h(Fragment, null, state.head));
    const { uses, list, navigates } = state;
    return { html, collected: { uses, list, head, templates, navigates } };
  } finally {
    current = outer;
  }
}

function visit(vnode: Internal, state: State): void {
  const { type } = vnode;
  if (typeof type === "string") {
    visitElement(vnode, type, state);
  } else if (type === Head as unknown) {
    state.head.push(vnode.props.children as ComponentChildren);
  } else if (type === Partial as unknown) {
    markPartial(vnode, state);
  } else {
    const island = state.islands.get(type as ComponentType);
    if (island && !isInsideIsland(vnode)) markIsland(vnode, island, state);
  }
}

function visitElement(vnode: Internal, type: string, state: State): void {
  if ((type === "script" || type === "style") && !vnode.props.nonce) {
    vnode.props = { ...vnode.props, nonce: state.nonce };
  }
  const navigation = vnode.props["f-client-nav"];
  if (navigation === undefined) return;
  const isOn = navigation !== false && navigation !== "false";
  // A boolean false would leave the attribute out.
  vnode.props = { ...vnode.props, "f-client-nav": String(isOn) };
  state.navigates ||= isOn;
}

function isInsideIsland(vnode: Internal): boolean {
  for (let at = vnode.__; at; at = at.__) {
    if (at[ROLE]) return at[ROLE] === "island";
  }
  return false;
}

function comment(text: string): VNode {
  // How preact-render-to-string is asked for a comment.
  return h(Fragment, { UNSTABLE_comment: text } as unknown as null);
}

function marked(
  marker: Marker,
  content: ComponentChildren,
): ComponentChildren[] {
  return [comment(openText(marker)), content, comment(closeText(marker.kind))];
}

/** Replaces what a vnode renders as by marked content. */
function become(vnode: Internal, content: ComponentChildren): void {
  vnode.type = Fragment as ComponentType;
  vnode.props = { children: content };
}

function markPartial(vnode: Internal, state: State): void {
  const { name, mode = "replace", children } = vnode
    .props as unknown as PartialProps;
  if (state.partials.has(name)) {
    throw new TypeError(
      `Cannot render partial "${name}": the page already has one of that name`,
    );
  }
  if (isInsideIsland(vnode)) {
    throw new TypeError(
      `Cannot render partial "${name}": it is inside an island`,
    );
  }
  state.partials.add(name);
  become(vnode, marked({ kind: "partial", name, mode }, children));
}

function markIsland(vnode: Internal, island: Island, state: State): void {
  const Component = vnode.type as ComponentType<Record<string, unknown>>;
  const index = state.list.length;
  const props: Record<string, unknown> = {};
  state.uses.set(island.name, island);
  state.list.push([island.name, vnode.key, props]);
  for (const [prop, value] of Object.entries(vnode.props)) {
    props[prop] = hasElement(value) ? slot(index, prop, value as ComponentChildren, state) : value;
  }
  vnode[ROLE] = "island";
  become(vnode, marked({ kind: "island", index }, h(Component, { ...props })));
}

function hasElement(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasElement);
  // Signals pass for elements, so that they can be children.
  return isValidElement(value) && !(value as object instanceof Signal);
}

/** What a slot's vnode keeps, for the serializer. */
const SLOT_OF = Symbol("slot");
type SlotVNode = VNode & { [SLOT_OF]?: { index: number; prop: string } };

function slot(
  index: number,
  prop: string,
  content: ComponentChildren,
  state: State,
): VNode {
  const entry = { index, prop, content, shown: false };
  state.slots.push(entry);
  const vnode: SlotVNode & Internal = h(Slot, {
    index,
    prop,
    content,
    entry,
  }) as never;
  vnode[SLOT_OF] = { index, prop };
  vnode[ROLE] = "slot";
  return vnode;
}

interface SlotProps {
  index: number;
  prop: string;
  content: ComponentChildren;
  entry: { shown: boolean };
}

function Slot({ index, prop, content, entry }: SlotProps): VNode {
  entry.shown = true;
  return h(Fragment, null, marked({ kind: "slot", index, prop }, content));
}

/** The islands' names, keys and props as text for the browser. */
export function serializeIslands(collected: Collected): string {
  return serialize(collected.list, (value) => {
    const slotOf = (value as SlotVNode)[SLOT_OF];
    if (slotOf) return { tag: "Slot", content: slotOf };
    if (value instanceof Signal) {
      const isComputed = Object.getPrototypeOf(value) !== Signal.prototype;
      return { tag: isComputed ? "Computed" : "Signal", content: value.peek() };
    }
  });
}
