import { type ComponentChildren, type ComponentType, h, hydrate, render, type VNode } from "preact";
import { closeText, type IslandUse, type Marker, parseMarker, slotTemplateId } from "../markers.ts";
import type { PageState } from "../markers.ts";
import { Region } from "./region.ts";
import { readIslands, SlotRef } from "./state.ts";

/** What brings the islands of one page to life. */
interface Page {
  document: Document;
  uses: IslandUse[];
  components: Map<string, ComponentType>;
}

/** Islands that live, by the comment that opens them. */
const living = new Map<Comment, Region>();

/** Those that some page's hydration has taken charge of: their numbers are that page's. */
const claimed = new WeakSet<Comment>();

/** Hydrates the islands at and below `from`; `page` is the document that the server sent. */
export async function hydrateIslands(
  document: Document,
  { from, state }: { from: Node; state: PageState },
): Promise<void> {
  // Now, and not once their modules are there: by then another page may have taken this one's place,
  // whose islands have other numbers.
  const islands = claimIslands(from);
  const components = new Map(
    await Promise.all(
      Object.entries(state.modules).map(async ([name, [file, exportName]]) =>
        [name, (await import(file))[exportName]] as [string, ComponentType]
      ),
    ),
  );
  const page = { document, uses: readIslands(state), components };
  for (const { start, index } of islands) {
    if (!start.isConnected || living.has(start)) continue;
    hydrateIsland(new Region(start, closing(start, "island")), index, page);
  }
}

/** Ends the islands that lie in `region`, so that their effects are cleaned up. */
export function endIslands(region: Region): void {
  for (const [start, island] of living) {
    if (!start.isConnected || region.contains(start)) {
      living.delete(start);
      render(null, island as unknown as Element);
    }
  }
}

/** The outermost islands at and below `node` that nobody is in charge of yet. */
function claimIslands(node: Node): { start: Comment; index: number }[] {
  const found: { start: Comment; index: number }[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling) {
    const marker = markerOf(child);
    if (marker?.kind !== "island") {
      found.push(...claimIslands(child));
      continue;
    }
    const start = child as Comment;
    if (!claimed.has(start)) {
      claimed.add(start);
      found.push({ start, index: marker.index });
    }
    child = closing(child, "island");
  }
  return found;
}

function hydrateIsland(region: Region, index: number, page: Page): void {
  const vnode = islandVNode(index, page, region.nodes());
  living.set(region.start, region);
  // A Region has what Preact asks of the element that it renders into.
  hydrate(vnode, region as unknown as Element);
}

function islandVNode(index: number, page: Page, content: ChildNode[]): VNode {
  const [name, key, props] = page.uses[index];
  const Component = page.components.get(name) as ComponentType<
    Record<string, unknown>
  >;
  const filled: Record<string, unknown> = { ...props };
  if (key !== null && key !== undefined) filled.key = key;
  for (const [prop, value] of Object.entries(props)) {
    if (value instanceof SlotRef) {
      filled[prop] = slotContent(value, content, page);
    }
  }
  return h(Component, filled);
}

function slotContent(
  slot: SlotRef,
  content: ChildNode[],
  page: Page,
): ComponentChildren {
  const start = findSlot(slot, content);
  if (start) {
    return toVNodes(new Region(start, closing(start, "slot")).nodes(), page);
  }
  const template = page.document.getElementById(
    slotTemplateId(slot.index, slot.prop),
  );
  return template instanceof HTMLTemplateElement
    ? toVNodes([...template.content.childNodes], page)
    : null;
}

function findSlot(slot: SlotRef, nodes: Iterable<ChildNode>): Comment | null {
  for (const node of nodes) {
    const marker = markerOf(node);
    if (
      marker?.kind === "slot" && marker.index === slot.index &&
      marker.prop === slot.prop
    ) {
      return node as Comment;
    }
    const below = findSlot(slot, node.childNodes);
    if (below) return below;
  }
  return null;
}

/** Vnodes that describe what is there, so that hydration adopts it. */
function toVNodes(nodes: ChildNode[], page: Page): ComponentChildren[] {
  const vnodes: ComponentChildren[] = [];
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i];
    const marker = markerOf(node);
    if (marker?.kind === "island") {
      const end = closing(node, "island");
      const region = new Region(node as Comment, end);
      vnodes.push(islandVNode(marker.index, page, region.nodes()));
      i = nodes.indexOf(end);
    } else if (node instanceof Text) {
      vnodes.push(node.data);
    } else if (node instanceof Element) {
      vnodes.push(
        h(
          node.localName,
          attributesOf(node),
          toVNodes([...node.childNodes], page),
        ),
      );
    }
  }
  return vnodes;
}

function attributesOf(element: Element): Record<string, unknown> {
  const attributes: Record<string, unknown> = {};
  for (const { name, value } of element.attributes) {
    const property = (element as unknown as Record<string, unknown>)[name];
    attributes[name] = typeof property === "boolean" ? property : value;
  }
  return attributes;
}

function markerOf(node: Node): Marker | null {
  return node instanceof Comment ? parseMarker(node.data) : null;
}

/** The comment that closes what `start` opens. */
export function closing(start: Node, kind: Marker["kind"]): Comment {
  let depth = 0;
  for (let node = start.nextSibling; node; node = node.nextSibling) {
    if (!(node instanceof Comment)) continue;
    if (parseMarker(node.data)?.kind === kind) depth++;
    else if (node.data === closeText(kind) && depth-- === 0) return node;
  }
  throw new SyntaxError(
    `Cannot find the end of ${(start as Comment).data}: the page was cut short`,
  );
}
