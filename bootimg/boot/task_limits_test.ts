import { assert } from "@std/assert";
import fc from "fast-check";
import { MOST_SERVICE_TASKS, RESERVED_TASKS, shareTasks } from "./task_limits.ts";

Deno.test("services and guests together leave process 1 room for tasks of its own", () => {
  fc.assert(fc.property(fc.integer({ min: 64, max: 4_194_304 }), (tasks) => {
    const { services, guests } = shareTasks(tasks);
    const left = tasks - services - guests;
    assert(services > 0 && services <= MOST_SERVICE_TASKS);
    assert(guests >= services - 1, "guests are what the host is for");
    assert(left >= Math.min(RESERVED_TASKS, Math.floor(tasks / 4)));
  }));
});
