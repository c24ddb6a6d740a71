/**
 * What the host and its guests are doing, kept up to date by the API's one event stream: no page
 * asks again by itself.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import { IS_BROWSER } from "fresh/runtime";
import type {
  Figures,
  Guest,
  Host,
  HostStorage,
  Task,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { goToLogin } from "./api.ts";
import { takeCrashes } from "./live_crashes.ts";
import { useHydrated } from "./hydrated.ts";
import { takeMoves } from "./live_moves.ts";
import { takePeers } from "./live_peers.ts";
import { takeSnapshots } from "./live_snapshots.ts";
import { takeStorage } from "./live_storage.ts";
import { takeUpdate } from "./live_update.ts";
import { takePoint, takeTask, takeTasks } from "./live_tasks.ts";
import { streams } from "./once_live.ts";

export type Connection = "connecting" | "live" | "lost";

/** Only the browser changes these: on the server they would be shared by everyone. */
const host: Signal<Host | null> = signal(null);
const guests: Signal<ReadonlyMap<string, Guest>> = signal(new Map());
export const connection: Signal<Connection> = signal("connecting");
/** The last looks at what guests' devices count, oldest first. */
const figures: Signal<ReadonlyMap<string, Figures[]>> = signal(new Map());

let source: EventSource | null = null;
/** Whether the stream has told all there is, so that a page's own data are older. */
let isFilled = false;

export interface Seed {
  host: Host;
  guests?: Guest[];
}

export interface Live {
  host: Host;
  /** By name. */
  guests: Guest[];
  /** Undefined for one that is gone. */
  guest(id: string): Guest | undefined;
}

/** For components: the page's own data at first, then what the stream tells. */
export function useLive(seed: Seed): Live {
  const isHydrated = useHydrated();
  if (IS_BROWSER) listen(seed);
  if (!isHydrated) return view(seed.host, new Map(seed.guests?.map((it) => [it.id, it])));
  return view(host.value ?? seed.host, guests.value);
}

/** As many looks as a chart shows. */
const KEPT_FIGURES = 60;

/** The last looks at a guest's devices: the page's own at first, and then what the stream tells. */
export function useFigures(id: string, seed: Figures[]): Figures[] {
  const isHydrated = useHydrated();
  if (!isHydrated) return seed;
  const told = figures.value.get(id) ?? [];
  const first = told[0]?.at ?? Infinity;
  return [...seed.filter(({ at }) => at < first), ...told].slice(-KEPT_FIGURES);
}

/** Guests as far as they are known, for what is on every page. */
export function guestsNow(): Guest[] {
  return [...guests.value.values()].sort((a, b) => a.name < b.name ? -1 : 1);
}

function view(host: Host, map: ReadonlyMap<string, Guest>): Live {
  return {
    host,
    guests: [...map.values()].sort((a, b) => a.name < b.name ? -1 : 1),
    guest: (id) => map.get(id),
  };
}

/** Takes over a guest that was just created, unless its events were quicker and know more. */
export function addGuest(guest: Guest): void {
  if (!guests.peek().has(guest.id)) putGuest(guest);
}

/** Takes over what is known of a guest now. */
export function putGuest(guest: Guest): void {
  guests.value = new Map(guests.peek()).set(guest.id, guest);
}

export function dropGuest(id: string): void {
  const next = new Map(guests.peek());
  next.delete(id);
  guests.value = next;
}

function listen(seed: Seed): void {
  if (!isFilled) {
    host.value ??= seed.host;
    const known = guests.peek();
    const fresh = seed.guests?.filter(({ id }) => !known.has(id)) ?? [];
    if (fresh.length > 0) {
      guests.value = new Map([
        ...known,
        ...fresh.map((it) => [it.id, it] as const),
      ]);
    }
  }
  source ??= open();
}

if (IS_BROWSER) {
  // A page kept for "back" would count as an open stream.
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => {
    if ((event as PageTransitionEvent).persisted && source) source = open();
  });
}

const RETRY_MS = 3000;

interface Snapshot {
  host: Host;
  guests: Guest[];
  tasks: Task[];
  storage: HostStorage | null;
}

function open(): EventSource {
  const events = new EventSource("/api/v1/events");
  const on = (name: string, take: (data: never) => void) =>
    events.addEventListener(name, (event) => take(JSON.parse(event.data) as never));
  on("snapshot", (snapshot: Snapshot) => {
    host.value = snapshot.host;
    guests.value = new Map(snapshot.guests.map((it) => [it.id, it]));
    takeTasks(snapshot.tasks);
    if (snapshot.storage !== null) takeStorage(snapshot.storage);
    isFilled = true;
    connection.value = "live";
    streams.value++;
  });
  on("guest", putGuest);
  on("guest_deleted", ({ id }: { id: string }) => dropGuest(id));
  on("figures", (look: Figures) => {
    const before = figures.peek().get(look.id) ?? [];
    const now = [...before.slice(1 - KEPT_FIGURES), look];
    figures.value = new Map(figures.peek()).set(look.id, now);
  });
  on("host", (value: Host) => {
    host.value = value;
  });
  on("task", takeTask);
  on("task_point", takePoint);
  on("snapshots", takeSnapshots);
  on("peers", takePeers);
  on("moves", takeMoves);
  on("storage", takeStorage);
  on("update", takeUpdate);
  on("crashes", takeCrashes);
  events.onerror = () => {
    connection.value = "lost";
    // A refusal ends it for good; a broken connection is taken up again by the browser.
    if (events.readyState === EventSource.CLOSED) void comeBack();
  };
  return events;
}

async function comeBack(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  try {
    const response = await fetch("/api/v1/session");
    if (response.ok && !(await response.json()).signedIn) return goToLogin();
  } catch {
    // Not reachable yet.
  }
  source = open();
}
