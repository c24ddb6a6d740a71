import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { close } from "../../sys/files.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/passed_descriptors.ts";
import { accept, listenUnix, receive, send, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import { memfd } from "../../sys/mapping.ts";
import { PassingControl } from "./passing_control.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

/** The other side, as descriptors. */
class Peer implements Disposable {
  readonly path = Deno.makeTempDirSync();
  readonly socket = `${this.path}/control.sock`;
  readonly #listener = listenUnix(this.socket);
  readonly #fds: number[] = [];
  readonly received: number[] = [];

  accept(): number {
    const fd = accept(this.#listener);
    this.#fds.push(fd);
    return fd;
  }

  /** All that comes up to the end of a line. */
  async line(fd: number): Promise<string> {
    const buffer = new Uint8Array(4096);
    let text = "";
    while (!text.endsWith("\n")) {
      const count = receiveDescriptors(fd, buffer, this.received);
      if (count === WOULD_BLOCK) await pause();
      else text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    return text;
  }

  [Symbol.dispose]() {
    [this.#listener, ...this.#fds, ...this.received].forEach(close);
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** How many descriptors of a file in memory this process has. */
function openOf(name: string): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter((fd) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${fd.name}`).startsWith(`/memfd:${name} `);
    } catch {
      // One that somebody else has closed meanwhile.
      return false;
    }
  }).length;
}

Deno.test("descriptors go with a request, however long it is, and come with an answer", async () => {
  const name = crypto.randomUUID();
  const mine = memfd(name, 4096);
  {
    using peer = new Peer();
    using control = new PassingControl(peer.socket);
    const fd = peer.accept();
    const device = "x".repeat(300_000);
    const sent = control.send({ op: "unplug", device }, { descriptors: [mine, mine] });
    const line = await peer.line(fd);
    await sent;
    assertEquals(JSON.parse(line), { op: "unplug", device });
    assertEquals(peer.received.length, 2);
    send(fd, new TextEncoder().encode('{"held":true}\n'));
    assertEquals(await control.line(), '{"held":true}');
    sendDescriptors(fd, new TextEncoder().encode('{"forked":{}}\n'), [mine, mine]);
    assertEquals(await control.line(), '{"forked":{}}');
    const came = control.take();
    assertEquals(came.length, 2);
    came.forEach(close);
    // What nobody takes is closed with the connection.
    sendDescriptors(fd, new TextEncoder().encode("more\n"), [mine]);
    assertEquals(await control.line(), "more");
    assertEquals(openOf(name), 4);
  }
  assertEquals(openOf(name), 1);
  close(mine);
});

Deno.test("a connection that is closed ends whoever waits on it, and tells the other side", async () => {
  using peer = new Peer();
  const control = new PassingControl(peer.socket);
  const fd = peer.accept();
  const line = control.line();
  await pause();
  control.close();
  control.close();
  await assertRejects(() => line, Error, "was closed");
  await assertRejects(() => control.send({ op: "status" }), Error, "was closed");
  assertEquals(receive(fd, new Uint8Array(1)), 0);
  assertThrows(() => new PassingControl(`${peer.socket}.none`));
});
