import { assert, assertEquals } from "@std/assert";
import { close } from "./files.ts";
import { addressOf } from "./mapping.ts";
import { receiveAt, sendAt, WAIT } from "./stream_io.ts";
import { accept, connectUnix, listenUnix, shutdownSending } from "./unix_sockets.ts";

function withPair(test: (near: number, far: number, closeFar: () => void) => void): void {
  const folder = Deno.makeTempDirSync();
  const listener = listenUnix(`${folder}/socket`);
  const near = connectUnix(`${folder}/socket`);
  let far = accept(listener);
  const closeFar = () => {
    if (far >= 0) close(far);
    far = -1;
  };
  try {
    test(near, far, closeFar);
  } finally {
    closeFar();
    close(near);
    close(listener);
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("bytes go from memory to memory, at most as many as asked for", () => {
  withPair((near, far) => {
    const from = new TextEncoder().encode("from here to there");
    const into = new Uint8Array(32);
    assertEquals(receiveAt(far, addressOf(into), into.length), WAIT);
    assertEquals(sendAt(near, addressOf(from), 9), 9);
    assertEquals(receiveAt(far, addressOf(into) + 1, 4), 4);
    assertEquals(receiveAt(far, addressOf(into) + 5, 27), 5);
    assertEquals(new TextDecoder().decode(into.subarray(0, 10)), "\0from here");
    shutdownSending(near);
    assertEquals(receiveAt(far, addressOf(into), into.length), 0);
  });
});

Deno.test("a full socket lets wait, one that was closed is an error and no signal", () => {
  withPair((near, _far, closeFar) => {
    const bytes = new Uint8Array(1 << 16);
    let n;
    while ((n = sendAt(near, addressOf(bytes), bytes.length)) > 0);
    assertEquals(n, WAIT);
    closeFar();
    n = sendAt(near, addressOf(bytes), bytes.length);
    assert(n < 0 && n !== WAIT);
  });
});
