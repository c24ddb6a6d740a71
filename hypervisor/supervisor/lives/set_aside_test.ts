import { assertEquals } from "@std/assert";
import { GuestName } from "../api/names.ts";
import { TestHost } from "../testing/test_host.ts";
import { asideName } from "./set_aside.ts";

Deno.test("what is set aside has a name that a guest can have, and nobody has", () => {
  const taken = new Set(["web-declared-lost", "web-declared-lost-2"]);
  assertEquals(asideName("db", (name) => taken.has(name)), "db-declared-lost");
  assertEquals(asideName("web", (name) => taken.has(name)), "web-declared-lost-3");
  for (const name of ["a".repeat(63), `${"a".repeat(48)}-${"b".repeat(14)}`]) {
    assertEquals(GuestName.safeParse(asideName(name, () => false)).success, true);
  }
});

Deno.test("what is set aside holds still until the host powers off, and is ended then", async () => {
  await using host = await TestHost.start();
  const { id } = await host.guest();
  await host.start(id);
  const { guests } = host.supervisor;
  let wasStill: boolean | null = null;
  host.supervisor.events.subscribe(({ name, data }) => {
    if (name === "guest" && data.name === "web-declared-lost") wasStill ??= data.pausedFor !== null;
  });
  await guests.ground.setAside(id, "it is elsewhere");
  assertEquals([guests.get(id).name, guests.get(id).pausedFor !== null], [
    "web-declared-lost",
    true,
  ]);
  assertEquals(wasStill, true, "it is called so once it is");
  let wentOn = false;
  host.supervisor.events.subscribe(({ name, data }) => {
    if (name === "guest" && data.state === "running" && data.pausedFor === null) wentOn = true;
  });
  // Its limit is longer than this test may take.
  for await (const { done, forced } of guests.shutdown({ limitSeconds: 600, saveSeconds: 600 })) {
    if (done) assertEquals(forced, []);
  }
  assertEquals([guests.get(id).state, wentOn], ["stopped", false]);
});
