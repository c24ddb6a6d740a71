/**
 * What is done with made-up guests as a whole: snapshots, forks, moves and upgrades, and the hosts
 * that they move to.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import { type GuestAction, phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import {
  ForkCreate,
  type Guest,
  MoveGuest,
  type Peer,
  PeerAdd,
  ResolveMove,
  type Snapshot,
  SnapshotCreate,
  SnapshotRevert,
  type SnapshotTree,
  SnapshotUpdate,
  type Task,
  type Template,
  type UnsettledMove,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { demoPeers, demoTree, newPeer, newSnapshot } from "./fake_life_data.ts";
import { problem } from "./fake_problem.ts";
import { FakeTasks } from "./fake_tasks.ts";

export interface FakeLivesOptions {
  guests: Map<string, Guest>;
  emit: (name: string, data: unknown) => void;
  taskMs: number;
}

const MIB = 2 ** 20;
/** The code that another made-up host offers. */
export const PEER_CODE = "QX7F-2MKD-9PTR";

export class FakeLives {
  readonly work: FakeTasks;
  peers: Peer[] = demoPeers();
  moves: UnsettledMove[] = [];
  readonly #options: FakeLivesOptions;
  readonly #trees = new Map<string, SnapshotTree>();

  constructor(options: FakeLivesOptions) {
    this.#options = options;
    this.work = new FakeTasks(options);
    for (const guest of options.guests.values()) {
      if (guest.name === "web-1") this.#trees.set(guest.id, demoTree(guest));
    }
  }

  /** Newest first. */
  get tasks(): Task[] {
    return this.work.list;
  }

  tree(guest: string): SnapshotTree {
    return this.#trees.get(guest) ?? { guest, snapshots: [], current: null, base: null };
  }

  /** Changes the other hosts and tells it. */
  putPeers(peers: Peer[]): void {
    this.peers = peers;
    this.#options.emit("peers", peers);
  }

  /** Changes what is not settled and tells it. */
  putMoves(moves: UnsettledMove[]): void {
    this.moves = moves;
    this.#options.emit("moves", moves);
  }

  putTree(tree: SnapshotTree): void {
    this.#trees.set(tree.guest, tree);
    this.#options.emit("snapshots", tree);
  }

  /** The answer to a request of these; null to another. */
  async answer(request: Request, path: string): Promise<Response | null> {
    const { method } = request;
    const parts = path.split("/").slice(1);
    // An upload is not for here, and is not to be read here.
    if (!["tasks", "templates", "peers", "pairing", "moves", "guests"].includes(parts[0])) {
      return null;
    }
    const text = method === "GET" ? "" : await request.clone().text();
    const body = () => JSON.parse(text || "{}");
    switch (parts[0]) {
      case "tasks":
        return this.#task(method, parts);
      case "templates":
        return Response.json(this.#templates());
      case "peers":
        return method === "POST" ? this.#pair(PeerAdd.parse(body())) : this.#peer(method, parts[1]);
      case "moves":
        return method === "GET"
          ? Response.json(this.moves)
          : this.#resolve(parts[1], ResolveMove.parse(body()));
      case "pairing":
        return Response.json({
          code: "HW3N-8RTC-V6YA",
          expiresAt: new Date(Date.now() + 600_000).toISOString(),
          addresses: ["basement-1.home", "192.168.1.20"],
        });
      case "guests":
        return parts.length < 3 ? null : this.#guest(parts, { method, body });
    }
    return null;
  }

  #templates(): Template[] {
    const all = [...this.#options.guests.values()].flatMap(({ id, name }) =>
      this.tree(id).snapshots.filter(({ template }) => template)
        .map((snapshot) => ({ guest: { id, name }, snapshot }))
    );
    return all.sort((a, b) => a.snapshot.name < b.snapshot.name ? -1 : 1);
  }

  #task(method: string, [, id, points]: string[]): Response {
    if (id === undefined) return Response.json(this.tasks);
    if (method === "DELETE") return Response.json(this.work.cancel(id), { status: 202 });
    return Response.json(points ? this.work.points(id) : this.work.get(id));
  }

  #pair({ address, code }: PeerAdd): Response {
    if (address.startsWith("nowhere")) {
      throw problem(502, "peer_unreachable", `Cannot reach "${address}": nobody answers there`);
    }
    if (code.toUpperCase() !== PEER_CODE) {
      throw problem(401, "wrong_code", `Cannot pair with "${address}": the code is wrong`);
    }
    const peer = newPeer({ name: "shed", address, pairedAt: new Date().toISOString() });
    this.putPeers([...this.peers, peer]);
    return Response.json(peer, { status: 201 });
  }

  #peer(method: string, id: string | undefined): Response {
    if (method === "GET") return Response.json(this.peers);
    this.putPeers(this.peers.filter((it) => it.id !== id));
    return new Response(null, { status: 204 });
  }

  #resolve(id: string, { runs, confirm }: ResolveMove): Response {
    const move = this.moves.find((it) => it.id === id);
    if (!move) throw problem(404, "not_found", `Cannot find a move with the id "${id}"`);
    if (confirm !== move.guestName) {
      throw problem(400, "invalid_body", `Cannot settle the move: it is not called "${confirm}"`);
    }
    const others = this.moves.filter((it) => it !== move);
    this.putMoves([...others, { ...move, state: "said" }]);
    if (runs === "there") {
      this.#options.guests.delete(move.guest);
      this.#options.emit("guest_deleted", { id: move.guest });
    }
    return new Response(null, { status: 204 });
  }

  #guest(
    parts: string[],
    { method, body }: { method: string; body: () => unknown },
  ): Response | null {
    const [, id, what, part, act] = parts;
    const guest = this.#options.guests.get(id);
    if (!guest) throw problem(404, "not_found", `Cannot find a guest with the id "${id}"`);
    const begun = (task: Task) => Response.json(task, { status: 202 });
    switch (what) {
      case "snapshots":
        if (part === undefined) {
          return method === "GET"
            ? Response.json(this.tree(id))
            : begun(this.#take(guest, SnapshotCreate.parse(body())));
        }
        return act === "revert"
          ? begun(this.#revert(guest, { id: part, ...SnapshotRevert.parse(body()) }))
          : this.#snapshot(guest, { id: part, method, body });
      case "forks":
        return begun(this.#fork(guest, ForkCreate.parse(body())));
      case "move":
        return begun(this.#move(guest, MoveGuest.parse(body())));
      case "upgrade":
        need(guest, "upgrade");
        return begun(this.work.begin(
          { kind: "upgrade", guest, detail: "", phase: "Starting a VMM" },
          () => ({ pauseMs: 9.6 }),
        ));
      case "resume":
        // Resuming a guest that is paused is another request.
        if (method !== "DELETE") return null;
        return Response.json(this.#put(guest, { resumesFrom: null }));
    }
    return null;
  }

  #take(guest: Guest, wish: SnapshotCreate): Task {
    need(guest, "snapshot");
    const tree = this.tree(guest.id);
    if (tree.snapshots.some(({ name }) => name === wish.name)) {
      throw problem(409, "name_taken", `Cannot take a snapshot: one is called "${wish.name}"`);
    }
    const memory = guest.state === "running" && wish.memory !== false;
    const { base } = tree;
    const start = { kind: "snapshot", guest, detail: wish.name, phase: "Copying memory" } as const;
    return this.work.begin(start, () => {
      const { name, description = "", template = false } = wish;
      const now = this.tree(guest.id);
      const made = newSnapshot(name, {
        ...{ description, template, memory, parent: now.current },
        frozen: memory && wish.freeze === true,
        ...(memory && base !== null && { ownBytes: 3 * MIB }),
      });
      this.putTree({
        ...{ ...now, snapshots: [...now.snapshots, made], current: made.id },
        base: memory ? wish.incremental ? made.id : null : base,
      });
      return { pauseMs: made.pauseMs };
    });
  }

  #snapshot(
    { id: guest, name }: Guest,
    { id, method, body }: { id: string; method: string; body: () => unknown },
  ): Response {
    const tree = this.tree(guest);
    const known = this.#known(tree, id);
    if (method === "DELETE") {
      const { parent } = known;
      this.putTree({
        ...tree,
        snapshots: tree.snapshots.filter((it) => it !== known)
          .map((it) => it.parent === id ? { ...it, parent } : it),
        current: tree.current === id ? parent : tree.current,
      });
      return new Response(null, { status: 204 });
    }
    const change = SnapshotUpdate.parse(body());
    if (tree.snapshots.some((it) => it.id !== id && it.name === change.name)) {
      throw problem(409, "name_taken", `Cannot rename a snapshot of "${name}": the name is taken`);
    }
    const changed = { ...known, ...change };
    this.putTree({ ...tree, snapshots: tree.snapshots.map((it) => it === known ? changed : it) });
    return Response.json(changed);
  }

  #known(tree: SnapshotTree, id: string): Snapshot {
    const known = tree.snapshots.find((it) => it.id === id);
    if (!known) throw problem(404, "not_found", `Cannot find a snapshot with the id "${id}"`);
    return known;
  }

  #revert(guest: Guest, { id, start }: { id: string; start?: boolean }): Task {
    need(guest, "revert");
    const { name, memory } = this.#known(this.tree(guest.id), id);
    const starts = start ?? (memory || guest.state === "running");
    const phase = "Putting its disks back";
    return this.work.begin({ kind: "revert", guest, detail: name, phase }, () => {
      this.putTree({ ...this.tree(guest.id), current: id });
      const startedAt = starts ? new Date().toISOString() : null;
      const resumesFrom = memory && !starts ? id : null;
      this.#put(guest, { state: starts ? "running" : "stopped", startedAt, resumesFrom });
      return {};
    });
  }

  #fork(guest: Guest, { count = 1, name = guest.name, start }: ForkCreate): Task {
    need(guest, "fork");
    const names = Array.from(
      { length: count },
      (_, i) => count > 1 || name === guest.name ? `${name}-${i + 1}` : name,
    );
    const taken = [...this.#options.guests.values()].find((it) => names.includes(it.name));
    if (taken) throw problem(409, "name_taken", `Cannot fork: a guest is called "${taken.name}"`);
    const detail = `${count} of it`;
    return this.work.begin({ kind: "fork", guest, detail, phase: "Copying memory" }, () => {
      const state = start === false ? "stopped" : "running";
      const startedAt = start === false ? null : new Date().toISOString();
      const made = names.map((name) =>
        this.#put({ ...guest, id: ulid(), name }, { state, startedAt, resumesFrom: null }).id
      );
      return { made, pauseMs: guest.state === "running" ? 3.2 : null };
    });
  }

  #move(guest: Guest, { peer }: MoveGuest): Task {
    need(guest, "move");
    const to = this.peers.find((it) => it.id === peer);
    if (!to?.reachable) {
      throw problem(
        502,
        "peer_unreachable",
        `Cannot move "${guest.name}": the host does not answer`,
      );
    }
    if ((to.memoryFreeMiB ?? 0) < guest.memoryMiB) {
      const what = `Cannot move "${guest.name}": "${to.name}" has too little memory free`;
      throw problem(422, "peer_refused", what);
    }
    const phase = "Copying memory";
    return this.work.begin({ kind: "move", guest, detail: to.name, phase }, () => {
      this.#options.guests.delete(guest.id);
      this.#options.emit("guest_deleted", { id: guest.id });
      return { pauseMs: 142.3 };
    });
  }

  #put(guest: Guest, change: Partial<Guest>): Guest {
    const next = { ...guest, ...change };
    this.#options.guests.set(next.id, next);
    this.#options.emit("guest", next);
    return next;
  }
}

function need(guest: Guest, action: GuestAction): void {
  const why = whyNot(action, phaseOf(guest));
  if (why !== null) throw problem(409, "wrong_state", why);
}
