/**
 * A guest's console, ports and vsock, from both ends: what its programs see, and unix sockets here.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import type { RunningGuest } from "./running_guest.ts";

const ECHO_PORT = "lab.echo";
const GUEST_PORT = 1022;
const HOST_PORT = 1234;

/** Where a guest's sockets are, and the options that put them there. */
export class GuestSockets implements Disposable {
  readonly #folder = Deno.makeTempDirSync();

  get options(): string[] {
    return [
      ...["--console", `${this.#folder}/console,size=132x43`],
      ...["--port", `${this.#folder}/agent`],
      ...["--port", `${this.#folder}/echo,name=${ECHO_PORT}`],
      ...["--vsock", `${this.#folder}/vsock,cid=77`],
      ...["--control", `${this.#folder}/control`],
    ];
  }

  path(name: string): string {
    return `${this.#folder}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** A program of the host at one of them. */
class Connection implements Disposable {
  readonly #connection: Deno.UnixConn;

  constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  static async open(path: string): Promise<Connection> {
    return new Connection(await Deno.connect({ transport: "unix", path }));
  }

  async send(data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** Reads until `pattern` has been said. */
  async expect(pattern: RegExp): Promise<string> {
    let text = "";
    const buffer = new Uint8Array(1);
    while (!pattern.test(text)) {
      if (await this.#connection.read(buffer) === null) throw new Error(`It ended after "${text}"`);
      text += String.fromCharCode(buffer[0]);
    }
    return text;
  }

  async take(length: number): Promise<Uint8Array> {
    const all = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const n = await this.#connection.read(all.subarray(at));
      if (n === null) throw new Error(`It ended after ${at} bytes`);
      at += n;
    }
    return all;
  }

  async closeWrite(): Promise<void> {
    await this.#connection.closeWrite();
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65536, length)));
  }
  return bytes;
}

/** Everything that is sent comes back, while both ways are busy. */
async function comesBack(connection: Connection, length: number): Promise<void> {
  const data = noise(length);
  const [back] = await Promise.all([connection.take(length), connection.send(data)]);
  assert(back.every((byte, i) => byte === data[i]), "what came back is not what was sent");
}

/** The ports have their names in the guest, and carry data both ways. */
export async function echoesThroughPorts(
  guest: RunningGuest,
  sockets: GuestSockets,
): Promise<void> {
  // The boot script starts no udev, which makes the links.
  await guest.run(
    "/lib/systemd/systemd-udevd --daemon; udevadm trigger --subsystem-match=virtio-ports; " +
      "udevadm settle",
  );
  assertMatch(await guest.run("ls /dev/virtio-ports"), /lab\.echo\s+org\.qemu\.guest_agent\.0/);
  const port = `/dev/virtio-ports/${ECHO_PORT}`;
  await guest.run(`(socat ${port} EXEC:'busybox cat' > /dev/null 2>&1 &)`);
  using connection = await Connection.open(sockets.path("echo"));
  await comesBack(connection, 1 << 20);
}

/** QEMU's agent, as Debian has it, answers. */
export async function answersAsAgent(guest: RunningGuest, sockets: GuestSockets): Promise<void> {
  await guest.run("mkdir -p /var/run; qemu-ga --daemonize");
  using agent = await Connection.open(sockets.path("agent"));
  await agent.send('{"execute":"guest-sync","arguments":{"id":4711}}\n');
  assertEquals(JSON.parse(await agent.expect(/\n$/)), { return: 4711 });
  await agent.send('{"execute":"guest-ping"}\n');
  assertEquals(JSON.parse(await agent.expect(/\n$/)), { return: {} });
}

/** hvc0 is a terminal with a size that can be changed. */
export async function hasConsole(guest: RunningGuest, sockets: GuestSockets): Promise<void> {
  using console = await Connection.open(sockets.path("console"));
  // The driver sets it a little after the terminal was opened.
  const size = () => guest.run("(sleep 1; stty size) < /dev/hvc0");
  assertEquals(await size(), "43 132");
  const [heard] = await Promise.all([
    console.expect(/from the guest/),
    guest.run("echo from the guest > /dev/hvc0"),
  ]);
  assertMatch(heard, /from the guest/);
  const change = { columns: 100, rows: 30 };
  using control = await ControlConnection.open(sockets.path("control"), {
    op: "change",
    device: "console0",
    change,
  });
  assertEquals((await control.line()).ok, true);
  assertEquals(await size(), "30 100");
  const reading = guest.run("head -n 1 < /dev/hvc0");
  await console.send("from the host\n");
  assertMatch(await reading, /from the host/);
}

/** Programs of the guest and of the host reach each other, whoever begins. */
export async function talksOverVsock(guest: RunningGuest, sockets: GuestSockets): Promise<void> {
  // From the guest, with its content checked.
  using listener = Deno.listen({
    transport: "unix",
    path: `${sockets.path("vsock")}_${HOST_PORT}`,
  });
  const sum = await guest.run("head -c 4M /dev/urandom | tee /root/sent | sha256sum");
  const sending = guest.run(`socat -u OPEN:/root/sent VSOCK-CONNECT:2:${HOST_PORT}`);
  const connection = await listener.accept();
  const received = new Uint8Array(await new Response(connection.readable).arrayBuffer());
  await sending;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", received));
  assertEquals(digest.toHex(), sum.split(" ")[0]);
  // Where nobody listens.
  assertMatch(await guest.run("socat -u VSOCK-CONNECT:2:9 - 2>&1 || true"), /reset by peer/);
  // From the host.
  await guest.run(
    `(socat VSOCK-LISTEN:${GUEST_PORT},fork EXEC:'busybox cat' > /dev/null 2>&1 &); sleep 1`,
  );
  using program = await Connection.open(sockets.path("vsock"));
  await program.send(`CONNECT ${GUEST_PORT}\n`);
  assertMatch(await program.expect(/\n$/), /^OK \d+\n$/);
  await comesBack(program, 1 << 20);
  using nobody = await Connection.open(sockets.path("vsock"));
  await nobody.send("CONNECT 4\n");
  await nobody.take(1).then(() => assert(false, "nobody listens there"), () => {});
}
