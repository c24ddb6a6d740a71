import { assertEquals } from "@std/assert";
import { drain, eventfd, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { EventLoop } from "./event_loop.ts";
import { WatchGate } from "./watch_gate.ts";

/** Goes round for as long as anything may come at once. */
function turn(loop: EventLoop): void {
  let over = false;
  loop.after(20, () => over = true);
  loop.run(() => over);
}

Deno.test("nothing passes a gate that is shut, and nothing is lost by it", () => {
  const loop = new EventLoop();
  const gate = new WatchGate(loop);
  const [level, edge, late, gone] = [eventfd(), eventfd(), eventfd(), eventfd()];
  const seen: string[] = [];
  gate.watch(level, () => {
    drain(level);
    seen.push("level");
  });
  gate.watch(edge, () => seen.push("edge"), { edge: true });
  gate.watch(gone, () => seen.push("gone"));
  signal(edge);
  turn(loop);
  assertEquals(seen.splice(0), ["edge"]);
  gate.shut();
  gate.watch(late, () => {
    drain(late);
    seen.push("late");
  });
  for (const fd of [level, edge, late, gone]) signal(fd);
  gate.after(0, () => seen.push("timer"));
  gate.after(0, () => seen.push("cancelled"))();
  const cancel = gate.after(0, () => seen.push("cancelled while due"));
  turn(loop);
  assertEquals(seen, []);
  cancel();
  gate.unwatch(gone);
  gate.open();
  turn(loop);
  assertEquals(seen.sort(), ["edge", "late", "level", "timer"]);
  for (const fd of [level, edge, late, gone]) close(fd);
});
