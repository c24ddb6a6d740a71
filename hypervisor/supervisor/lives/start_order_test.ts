import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { StartOrder } from "../api/schemas.ts";
import { type AllBackGround, bringAllBack } from "./coming_back.ts";
import type { GuestLife } from "./guest_life.ts";
import { stopAll } from "./shutdown.ts";
import { firstToEnd, startGroups } from "./start_order.ts";

const at = (place: number, delaySeconds = 0): StartOrder => ({ place, delaySeconds });

/** A guest that starts at once or not at all, and tells what becomes of it. */
class FakeLife {
  readonly record: { id: string; name: string; autostart: boolean; startOrder: StartOrder | null };
  readonly resumesFrom = null;
  readonly phase = "running";
  readonly #told: string[];
  readonly #fails: boolean;
  /** Whether it takes notice of its power button. */
  readonly listens: boolean;
  state = "stopped";

  constructor(
    name: string,
    startOrder: StartOrder | null,
    { told, fails = false, listens = true }: { told: string[]; fails?: boolean; listens?: boolean },
  ) {
    this.record = { id: name, name, autostart: true, startOrder };
    this.#told = told;
    this.#fails = fails;
    this.listens = listens;
  }

  get isUp() {
    return this.state === "running";
  }

  async start() {
    await Promise.resolve();
    this.#told.push(`${this.record.name} starts`);
    if (this.#fails) throw new Error("it cannot");
    this.state = "running";
  }

  stop() {
    if (this.listens) this.#ends("stops");
    return Promise.resolve();
  }

  end() {
    this.#ends("is ended");
    return Promise.resolve();
  }

  #ends(how: string) {
    this.#told.push(`${this.record.name} ${how}`);
    this.state = "stopped";
  }
}

const lives = (all: readonly FakeLife[]) => all as unknown as GuestLife[];

function ground(told: string[], more: Partial<AllBackGround> = {}): AllBackGround {
  return {
    ...{ tasks: undefined!, log: () => {}, sweep: () => {}, mayStart: () => true },
    ...{ isShuttingDown: () => false, released: new AbortController().signal },
    pauses: () => void told.push("a pause"),
    ...more,
  };
}

async function stopped(all: readonly FakeLife[], limitSeconds: number): Promise<void> {
  const options = {
    ...{ limitSeconds, saveSeconds: 0, log: () => {}, mayGoOn: () => true },
    ...{ isSaved: () => false, save: () => Promise.resolve(), taskOf: () => undefined },
  };
  for await (const { done } of stopAll(() => lives(all), options)) if (done) return;
}

Deno.test("guests start by place, those without one last, and end the other way round", async () => {
  const told: string[] = [];
  const all = [
    new FakeLife("late", at(20), { told }),
    new FakeLife("any", null, { told }),
    new FakeLife("early", at(3), { told }),
  ];
  await bringAllBack(lives(all), ground(told));
  assertEquals(told.splice(0), ["early starts", "late starts", "any starts"]);
  await stopped(all, 60);
  assertEquals(told, ["any stops", "late stops", "early stops"]);
});

Deno.test("a guest that cannot start holds up nobody, not even by its delay", async () => {
  const told: string[] = [];
  const all = [
    new FakeLife("broken", at(1, 3600), { told, fails: true }),
    new FakeLife("next", at(2), { told }),
  ];
  await bringAllBack(lives(all), ground(told));
  assertEquals(told, ["broken starts", "next starts"]);
});

Deno.test("those wait that come after a guest with a delay, and all count as back meanwhile", async () => {
  const told: string[] = [];
  const all = [new FakeLife("one", at(1, 1), { told }), new FakeLife("two", null, { told })];
  const began = performance.now();
  await bringAllBack(lives(all), ground(told));
  assert(performance.now() - began >= 1000);
  assertEquals(told, ["one starts", "a pause", "two starts"]);
});

Deno.test("nobody waits for a guest that ran on", async () => {
  const told: string[] = [];
  const all = [new FakeLife("one", at(1, 3600), { told }), new FakeLife("two", null, { told })];
  all[0].state = "running";
  await bringAllBack(lives(all), ground(told));
  assertEquals(told, ["two starts"]);
});

Deno.test("a delay ends with the supervisor or the host, and nobody starts any more", async () => {
  for (const how of ["released", "isShuttingDown"] as const) {
    const told: string[] = [];
    const all = [new FakeLife("one", at(1, 3600), { told }), new FakeLife("two", null, { told })];
    const released = new AbortController();
    let isShuttingDown = false;
    const pauses = () => {
      if (how === "released") released.abort();
      else isShuttingDown = true;
    };
    const more = { pauses, released: released.signal, isShuttingDown: () => isShuttingDown };
    await bringAllBack(lives(all), ground(told, more));
    assertEquals(told, ["one starts"]);
  }
});

Deno.test("a place that does not end takes no more than its share of the time", async () => {
  const told: string[] = [];
  const all = [
    new FakeLife("first", at(1), { told }),
    new FakeLife("deaf", at(2), { told, listens: false }),
  ];
  for (const life of all) life.state = "running";
  const began = performance.now();
  await stopped(all, 2);
  assertEquals(told, ["deaf is ended", "first stops"]);
  assert(performance.now() - began < 1900);
});

Deno.test("every guest starts once and ends once, whatever their places", () => {
  const orders = fc.array(fc.option(fc.record({
    place: fc.integer({ min: 1, max: 5 }),
    delaySeconds: fc.constant(0),
  })));
  fc.assert(fc.property(orders, (orders) => {
    const all = orders.map((startOrder, name) => ({ record: { startOrder }, name }));
    const groups = startGroups(all);
    let left = all;
    for (const group of [...groups].reverse()) {
      assertEquals(new Set(firstToEnd(left)), new Set(group));
      left = left.filter((it) => !group.includes(it));
    }
    assertEquals(left, []);
  }));
});
