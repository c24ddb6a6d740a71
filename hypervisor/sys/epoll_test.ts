import { assertEquals, assertThrows } from "@std/assert";
import { Epoll } from "./epoll.ts";
import { SysError } from "./errno.ts";
import { drain, eventfd, signal } from "./eventfd.ts";
import { close } from "./files.ts";
import { fromHeaders } from "./testing/headers.ts";

function readyNow(epoll: Epoll): number[] {
  return Array.from({ length: epoll.wait(0) }, (_, i) => epoll.ready(i)).sort((a, b) => a - b);
}

Deno.test("what is signalled is reported until it is drained, by its descriptor", () => {
  const epoll = new Epoll();
  const [a, b, c] = [eventfd(), eventfd(), eventfd()];
  for (const fd of [a, b, c]) epoll.add(fd);
  assertEquals(readyNow(epoll), []);
  signal(a);
  signal(c);
  assertEquals(readyNow(epoll), [a, c]);
  assertEquals(readyNow(epoll), [a, c]);
  drain(a);
  assertEquals(readyNow(epoll), [c]);
  epoll.remove(c);
  assertEquals(readyNow(epoll), []);
  for (const fd of [a, b, c]) close(fd);
});

Deno.test("more events than one wait reports come with the next", () => {
  const epoll = new Epoll();
  const fds = Array.from({ length: 100 }, () => eventfd());
  for (const fd of fds) {
    epoll.add(fd);
    signal(fd);
  }
  const seen = new Set<number>();
  while (seen.size < fds.length) {
    const ready = readyNow(epoll);
    for (const fd of ready) {
      seen.add(fd);
      drain(fd);
    }
    if (ready.length === 0) break;
  }
  assertEquals(seen, new Set(fds));
  for (const fd of fds) close(fd);
});

Deno.test("a descriptor is watched once, and no descriptor but an open one", () => {
  const epoll = new Epoll();
  const fd = eventfd();
  epoll.add(fd);
  assertThrows(() => epoll.add(fd), SysError, "EEXIST");
  epoll.remove(fd);
  assertThrows(() => epoll.remove(fd), SysError, "ENOENT");
  close(fd);
  assertThrows(() => epoll.add(fd), SysError, "EBADF");
});

Deno.test("an event has 12 bytes and its data lies at 4", () => {
  const at = ["sizeof(struct epoll_event)", "offsetof(struct epoll_event, data)"];
  assertEquals(fromHeaders(["sys/epoll.h"], at), [12n, 4n]);
});
