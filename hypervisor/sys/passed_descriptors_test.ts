import { assertEquals, assertThrows } from "@std/assert";
import { eventfd, signal, take } from "./eventfd.ts";
import { SysError } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";
import {
  duplicate,
  MAX_PASSED,
  receiveDescriptors,
  replace,
  sendDescriptors,
} from "./passed_descriptors.ts";
import { accept, connectUnix, listenUnix, receive, send, WOULD_BLOCK } from "./unix_sockets.ts";

/** Both ends of a connection. */
function pair(test: (near: number, far: number) => void): void {
  const folder = Deno.makeTempDirSync();
  const listener = listenUnix(`${folder}/socket`);
  const near = connectUnix(`${folder}/socket`);
  const far = accept(listener);
  try {
    test(near, far);
  } finally {
    for (const fd of [near, far, listener]) close(fd);
    Deno.removeSync(folder, { recursive: true });
  }
}

const LINE = new TextEncoder().encode("line\n");

Deno.test("a descriptor that is sent is the same open file at the other end", () => {
  pair((near, far) => {
    const into = new Uint8Array(100);
    const passed: number[] = [];
    assertEquals(receiveDescriptors(far, into, passed), WOULD_BLOCK);
    const event = eventfd();
    assertEquals(sendDescriptors(near, LINE, [event, event]), LINE.length);
    assertEquals(send(near, LINE), LINE.length);
    assertEquals(receiveDescriptors(far, into, passed), LINE.length);
    assertEquals(new TextDecoder().decode(into.subarray(0, LINE.length)), "line\n");
    assertEquals(passed.length, 2);
    assertEquals(receiveDescriptors(far, into, passed), LINE.length);
    assertEquals(passed.length, 2);
    signal(passed[1]);
    assertEquals(take(event), 1);
    for (const fd of [event, ...passed]) close(fd);
  });
});

/** Whoever else runs in this process opens and closes what is not at that path. */
function openAt(path: string): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === path;
    } catch {
      return false;
    }
  }).length;
}

Deno.test("more than there is room for are not kept, nor are those that nobody asked for", () => {
  pair((near, far) => {
    const path = Deno.makeTempFileSync();
    const fd = open(path, O_RDONLY);
    const into = new Uint8Array(100);
    sendDescriptors(near, LINE, new Array(MAX_PASSED + 1).fill(fd));
    const passed: number[] = [];
    assertEquals(receiveDescriptors(far, into, passed), LINE.length);
    assertEquals(passed, []);
    sendDescriptors(near, LINE, [fd]);
    assertEquals(receive(far, into), LINE.length);
    assertEquals(openAt(path), 1);
    close(fd);
    Deno.removeSync(path);
  });
});

Deno.test("a duplicate outlives what it was made of", () => {
  const event = eventfd();
  const other = duplicate(event);
  close(event);
  signal(other);
  assertEquals(take(other), 1);
  close(other);
  assertThrows(() => duplicate(other), SysError, "duplicate");
});

Deno.test("a descriptor that is replaced is another open file, and its own is let go of", () => {
  pair((near, far) => {
    const [event, fd] = [eventfd(), duplicate(far)];
    replace(fd, duplicate(event));
    signal(fd);
    assertEquals(take(event), 1);
    // The other end of the connection has one descriptor only again.
    assertEquals(send(near, LINE), LINE.length);
    assertEquals(receive(far, new Uint8Array(100)), LINE.length);
    const spare = duplicate(event);
    assertThrows(() => replace(-1, spare), SysError, "replace descriptor -1");
    for (const one of [event, fd]) close(one);
  });
});
