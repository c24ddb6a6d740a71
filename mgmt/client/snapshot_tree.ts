/**
 * Where each snapshot stands in the drawing of a guest's snapshots: a row for each, and lanes side by
 * side. What goes on from a snapshot stays in its lane, so that a long history stays narrow; only
 * branches that were left take lanes of their own.
 *
 * @module
 */
import type { Snapshot, SnapshotTree } from "../../hypervisor/supervisor/api/schemas.ts";

export interface TreeRow {
  /** Null for the guest as it is now. */
  snapshot: Snapshot | null;
  /** 0 is the leftmost. */
  lane: number;
  /** The lane that its line comes from; null where nothing comes before it. */
  from: number | null;
  /** Other lanes whose lines pass by. */
  passing: number[];
  /** Whether its line goes on downwards. */
  goesOn: boolean;
}

interface Node {
  snapshot: Snapshot | null;
  children: Node[];
  /** Whether the guest as it is now comes from it. */
  leadsHere: boolean;
}

/** The rows from top to bottom: what comes before is above, and the guest as it is now is last. */
export function treeRows({ snapshots, current }: SnapshotTree): TreeRow[] {
  const rows: TreeRow[] = [];
  for (const root of rootsOf(snapshots, current)) addRows(rows, root);
  return rows;
}

function rootsOf(snapshots: readonly Snapshot[], current: string | null): Node[] {
  const nodes = new Map<string, Node>();
  for (const snapshot of snapshots) {
    nodes.set(snapshot.id, { snapshot, children: [], leadsHere: false });
  }
  const parents = new Map<Node, Node>();
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = nodes.get(node.snapshot!.parent ?? "");
    if (parent === undefined || comesFrom(parent, node, parents)) {
      roots.push(node);
    } else {
      parents.set(node, parent);
      parent.children.push(node);
    }
  }
  const here: Node = { snapshot: null, children: [], leadsHere: true };
  let before = nodes.get(current ?? "");
  if (before === undefined) return [...roots, here];
  before.children.push(here);
  for (; before !== undefined; before = parents.get(before)) before.leadsHere = true;
  return roots.sort((a, b) => Number(a.leadsHere) - Number(b.leadsHere));
}

/** Whether `node` is `ancestor` or comes after it. */
function comesFrom(
  node: Node,
  ancestor: Node,
  parents: ReadonlyMap<Node, Node>,
): boolean {
  for (let it: Node | undefined = node; it !== undefined; it = parents.get(it)) {
    if (it === ancestor) return true;
  }
  return false;
}

/** One of them is the way that goes on in the lane of what they come from: the last. */
function inOrder(children: readonly Node[]): Node[] {
  return [...children].sort((a, b) => Number(a.leadsHere) - Number(b.leadsHere));
}

/** Without recursion: somebody may have taken a thousand snapshots, one after another. */
function addRows(rows: TreeRow[], root: Node): void {
  const stack = [{ node: root, lane: 0, from: null as number | null, passing: [] as number[] }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node: { snapshot, children }, ...place } = next;
    rows.push({ snapshot, ...place, goesOn: children.length > 0 });
    const [main, ...sides] = inOrder(children).reverse();
    if (main === undefined) continue;
    const { lane, passing } = place;
    stack.push({ node: main, lane, from: lane, passing });
    for (const node of sides) {
      stack.push({ node, lane: lane + 1, from: lane, passing: [...passing, lane] });
    }
  }
}
