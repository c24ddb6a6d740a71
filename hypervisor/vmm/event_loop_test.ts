import { assertEquals } from "@std/assert";
import { drain, eventfd, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { EventLoop } from "./event_loop.ts";

Deno.test("what is ready is called, and what was unwatched in the same turn is not", () => {
  const loop = new EventLoop();
  const fds = [eventfd(), eventfd()];
  const called: number[] = [];
  for (const fd of fds) {
    loop.watch(fd, () => {
      called.push(fd);
      drain(fd);
      for (const other of fds) if (other !== fd) loop.unwatch(other);
    });
    signal(fd);
  }
  loop.after(0, () => called.push(-1));
  loop.run(() => called.includes(-1));
  assertEquals(called.length, 2);
  for (const fd of fds) close(fd);
});

Deno.test("a descriptor can be watched for room to write", () => {
  const loop = new EventLoop();
  const fd = eventfd();
  let called = 0;
  loop.watch(fd, () => called++);
  loop.want(fd, { read: false, write: true });
  loop.run(() => called > 0);
  loop.want(fd, { read: true, write: false });
  let over = false;
  loop.after(0, () => over = true);
  loop.run(() => over);
  assertEquals(called, 1);
  loop.unwatch(fd);
  close(fd);
});

Deno.test("a descriptor watched for edges is told of once for each signal, and needs no reading", () => {
  const loop = new EventLoop();
  const fd = eventfd();
  let called = 0;
  loop.watch(fd, () => called++, { edge: true });
  for (let signals = 1; signals <= 3; signals++) {
    signal(fd);
    loop.run(() => called === signals);
    let over = false;
    loop.after(1, () => over = true);
    loop.run(() => over);
    assertEquals(called, signals);
  }
  loop.unwatch(fd);
  close(fd);
});
