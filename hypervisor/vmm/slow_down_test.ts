import { assertEquals } from "@std/assert";
import { Arena } from "../machine/arena.ts";
import { GuestLife, slowedPeriodMs } from "./lifecycle.ts";
import { SlowDown } from "./slow_down.ts";

Deno.test("vCPUs are kicked for each of their rests, for as long as they are slowed down", () => {
  const life = new GuestLife(new Arena());
  let kicks = 0;
  life.kickAll = () => void kicks++;
  const timers = new Set<{ ms: number; action: () => void }>();
  const slowDown = new SlowDown(life, (ms, action) => {
    const timer = { ms, action };
    timers.add(timer);
    return () => timers.delete(timer);
  });
  const elapse = () => {
    const [timer] = timers;
    timers.delete(timer);
    timer.action();
    return timer.ms;
  };
  slowDown.percent = 0;
  assertEquals([kicks, timers.size], [0, 0]);
  slowDown.percent = 20;
  assertEquals([elapse(), elapse()], [slowedPeriodMs(20), 12.5]);
  assertEquals([kicks, timers.size], [3, 1]);
  slowDown.percent = 95;
  assertEquals([elapse(), timers.size, kicks], [200, 1, 5]);
  slowDown.percent = 0;
  assertEquals([timers.size, slowDown.percent, life.rest()], [0, 0, false]);
});
