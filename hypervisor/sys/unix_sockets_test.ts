import { assertEquals, assertThrows } from "@std/assert";
import { SysError } from "./errno.ts";
import { close } from "./files.ts";
import {
  accept,
  connectUnix,
  listenUnix,
  receive,
  send,
  shutdownSending,
  WOULD_BLOCK,
} from "./unix_sockets.ts";

/** Both ends of a connection. */
function pair(test: (near: number, far: number) => void): void {
  const folder = Deno.makeTempDirSync();
  const listener = listenUnix(`${folder}/socket`);
  try {
    assertEquals(accept(listener), WOULD_BLOCK);
    const near = connectUnix(`${folder}/socket`);
    const far = accept(listener);
    try {
      test(near, far);
    } finally {
      close(near);
      close(far);
    }
  } finally {
    close(listener);
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("what one end sends the other receives, then the end", () => {
  pair((near, far) => {
    const into = new Uint8Array(16);
    assertEquals(receive(far, into), WOULD_BLOCK);
    assertEquals(send(near, new TextEncoder().encode("hello")), 5);
    assertEquals(receive(far, into), 5);
    assertEquals(new TextDecoder().decode(into.subarray(0, 5)), "hello");
    shutdownSending(near);
    assertEquals(receive(far, into), 0);
  });
});

Deno.test("a socket whose other end does not read is full one day, and blocks nobody", () => {
  pair((near) => {
    const bytes = new Uint8Array(65536);
    let sent = 0;
    for (let n = 0; (n = send(near, bytes)) !== WOULD_BLOCK; sent += n);
    assertEquals(sent > 0, true);
  });
});

Deno.test("sending to who has gone is an error, not a signal", () => {
  pair((near, far) => {
    shutdownSending(far);
    assertEquals(receive(near, new Uint8Array(1)), 0);
  });
  const folder = Deno.makeTempDirSync();
  const listener = listenUnix(`${folder}/socket`);
  const near = connectUnix(`${folder}/socket`);
  close(accept(listener));
  assertThrows(() => send(near, new Uint8Array(1)), SysError);
  close(near);
  close(listener);
  assertThrows(() => connectUnix(`${folder}/socket`), SysError, "connect");
  assertThrows(() => listenUnix(`${folder}/socket`), SysError, "bind");
  assertThrows(() => listenUnix("/" + "x".repeat(108)), RangeError, "107 bytes");
  Deno.removeSync(folder, { recursive: true });
});
