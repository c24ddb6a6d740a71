import { assertEquals, assertRejects } from "@std/assert";
import * as z from "zod";
import { LIFE_ROUTES } from "../../hypervisor/supervisor/api/life_routes.ts";
import { Events, type Guest, SnapshotTree, Task } from "../../hypervisor/supervisor/api/schemas.ts";
import { demoGuests } from "./fake_data.ts";
import { newMove } from "./fake_life_data.ts";
import { FakeLives } from "./fake_lives.ts";

type Told = [name: keyof typeof Events, data: unknown];

/** Made-up guests, whose requests and events are checked as the API declares them. */
function setUp() {
  const guests = new Map<string, Guest>(demoGuests().map((it) => [it.id, it]));
  const told: Told[] = [];
  const lives = new FakeLives({
    guests,
    taskMs: 0,
    emit: (name, data) => {
      const event = name as keyof typeof Events;
      told.push([event, Events[event].parse(data)]);
    },
  });
  const ask = async (operation: keyof typeof LIFE_ROUTES, path: string, body?: unknown) => {
    const { method, status, answer } = LIFE_ROUTES[operation];
    const request = new Request(`http://localhost${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const response = await lives.answer(request, path);
    assertEquals(response?.status, status, operation);
    return status === 204 ? null : (answer as z.ZodType).parse(await response!.json());
  };
  const end = async (task: unknown) => {
    const { id } = Task.parse(task);
    while (lives.work.get(id).state === "running") await new Promise((go) => setTimeout(go, 1));
    return lives.work.get(id);
  };
  const id = [...guests.values()].find(({ name }) => name === "web-1")!.id;
  return { guests, told, lives, ask, end, id };
}

Deno.test("made-up guests are saved, reverted, forked and moved as the API declares", async () => {
  const { guests, told, lives, ask, end, id } = setUp();
  const tree = async () =>
    SnapshotTree.parse(await ask("listSnapshots", `/guests/${id}/snapshots`));
  const { snapshots: [, server, , last] } = await tree();
  assertEquals(await ask("listTemplates", "/templates"), [
    { guest: { id, name: "web-1" }, snapshot: server },
  ]);
  const taken = await end(await ask("createSnapshot", `/guests/${id}/snapshots`, { name: "new" }));
  assertEquals([taken.state, taken.pauseMs], ["done", 21.7]);
  assertEquals((await tree()).snapshots[4].parent, last.id);
  await ask("updateSnapshot", `/guests/${id}/snapshots/${last.id}`, { name: "renamed" });
  await ask("deleteSnapshot", `/guests/${id}/snapshots/${last.id}`);
  assertEquals((await tree()).snapshots[3].parent, server.id);
  const path = `/guests/${id}/snapshots/${server.id}/revert`;
  await end(await ask("revertGuest", path, { start: false }));
  assertEquals([guests.get(id)!.state, guests.get(id)!.resumesFrom], ["stopped", server.id]);
  await ask("discardMemory", `/guests/${id}/resume`);
  assertEquals(guests.get(id)!.resumesFrom, null);
  await end(await ask("revertGuest", path, {}));
  const { made } = await end(
    await ask("forkGuest", `/guests/${id}/forks`, { count: 3, name: "a" }),
  );
  assertEquals(made.map((it) => guests.get(it)!.name), ["a-1", "a-2", "a-3"]);
  await end(await ask("upgradeGuest", `/guests/${id}/upgrade`));
  const move = await end(await ask("moveGuest", `/guests/${id}/move`, { peer: lives.peers[0].id }));
  assertEquals([move.state, guests.has(id)], ["done", false]);
  assertEquals(told.at(-1), ["task", move]);
});

Deno.test("a made-up task waits, tells its points, and is given up", async () => {
  const { lives, ask, end, id } = setUp();
  const release = lives.work.hold();
  const task = Task.parse(await ask("upgradeGuest", `/guests/${id}/upgrade`));
  await assertRejects(() => ask("forkGuest", `/guests/${id}/forks`, {}));
  lives.work.copied(task.id, { share: 0.5, atMs: 100 });
  const points = await ask("getTaskPoints", `/tasks/${task.id}/points`) as unknown[];
  assertEquals(points.length, 1);
  await ask("cancelTask", `/tasks/${task.id}`);
  assertEquals((await end(task)).state, "cancelled");
  assertEquals((await ask("listTasks", "/tasks") as unknown[]).length, 1);
  release();
});

Deno.test("a made-up move is settled by hand", async () => {
  const { guests, lives, ask, told, id } = setUp();
  const move = newMove(guests.get(id)!);
  lives.putMoves([move]);
  assertEquals(await ask("listMoves", "/moves"), [move]);
  const path = `/moves/${move.id}/resolve`;
  await assertRejects(() => ask("resolveMove", path, { runs: "there", confirm: "other" }));
  assertEquals(guests.has(id), true);
  await ask("resolveMove", path, { runs: "there", confirm: "web-1" });
  assertEquals([guests.has(id), lives.moves[0].state], [false, "said"]);
  assertEquals(told.map(([name]) => name), ["moves", "moves", "guest_deleted"]);
});
