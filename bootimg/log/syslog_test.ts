import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { parseSyslogTarget } from "../../hypervisor/supervisor/api/syslog_target.ts";
import { makeEntry } from "./entry.ts";
import { LogBook } from "./log_book.ts";
import { octetCounted, syslogMessage } from "./syslog.ts";
import { SyslogSender } from "./syslog_sender.ts";

function record(part: Partial<LogRecord> = {}): LogRecord {
  const entry = makeEntry({ time: 0, level: "info", room: "boot", message: "it runs" });
  return { seq: 1, ...entry, ...part };
}

const text = (bytes: Uint8Array) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

Deno.test("a record is a message as RFC 5424 has it", () => {
  const options = { hostname: "lab-1", limit: 2048 };
  assertEquals(
    text(syslogMessage(record(), options)),
    "<30>1 1970-01-01T00:00:00.000Z lab-1 denovisor - boot - it runs",
  );
  assertEquals(
    text(syslogMessage(record({ room: "kernel", level: "error", message: "BUG: ä" }), options)),
    "<3>1 1970-01-01T00:00:00.000Z lab-1 denovisor - kernel - BUG: ä",
  );
  assertEquals(
    text(syslogMessage(record({ room: "dhcp on br0", fields: { guest: "web" } }), options)),
    "<30>1 1970-01-01T00:00:00.000Z lab-1 denovisor - dhcp_on_br0 - it runs guest=web",
  );
});

Deno.test("whatever is told, a message is one line of UTF-8 and no longer than it may be", () => {
  const any = fc.record({
    room: fc.string({ unit: "binary" }),
    message: fc.string({ unit: "binary", maxLength: 3000 }),
    fields: fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })),
  });
  const limit = fc.integer({ min: 200, max: 2048 });
  fc.assert(fc.property(any, fc.string(), limit, (part, hostname, limit) => {
    const entry = makeEntry({ ...part, level: "info" });
    const message = syslogMessage({ seq: 1, ...entry }, { hostname, limit });
    assert(message.length <= limit);
    assertMatch(text(message), /^<30>1 \S+ \S+ denovisor - \S+ - \P{Cc}*$/u);
    assertEquals(text(octetCounted(message)), `${message.length} ${text(message)}`);
  }));
});

Deno.test("a target is a host, with a protocol and a port where they are not the usual", () => {
  const cases: Record<string, [string, string, number]> = {
    "logs.example": ["udp", "logs.example", 514],
    "192.0.2.1": ["udp", "192.0.2.1", 514],
    "2001:db8::1": ["udp", "2001:db8::1", 514],
    "tcp://logs.example:601": ["tcp", "logs.example", 601],
    "udp://[2001:db8::1]:5140": ["udp", "2001:db8::1", 5140],
  };
  for (const [text, [protocol, host, port]] of Object.entries(cases)) {
    assertEquals(parseSyslogTarget(text), { protocol, host, port } as never, text);
  }
  for (const bad of ["", "http://x", "x:0", "x:70000", "a b", "tcp://", "-x", "x:1:2x", "[x]"]) {
    assertEquals(parseSyslogTarget(bad), null, bad);
  }
  fc.assert(fc.property(fc.string(), (it) => {
    const target = parseSyslogTarget(it);
    if (target !== null) assert(target.port > 0 && target.port < 65536 && target.host !== "");
  }));
});

interface Told {
  sender: SyslogSender;
  troubles: (string | null)[];
}

function send(book: LogBook, target: string): Told {
  const troubles: (string | null)[] = [];
  const sender = new SyslogSender({
    ...{ book, target: parseSyslogTarget(target)!, hostname: () => "lab-1" },
    ...{ onTrouble: (why) => troubles.push(why), firstRetryMs: 20, stallMs: 500 },
  });
  return { sender, troubles };
}

function tell(book: LogBook, message: string): void {
  book.add(makeEntry({ level: "info", room: "boot", message }));
}

async function until(is: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!is()) {
    if (performance.now() > end) throw new Error("Cannot wait any longer");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("records go by UDP, one in a datagram, each once", async () => {
  for (const [type, host] of [["udp4", "127.0.0.1"], ["udp6", "[::1]"]] as const) {
    const socket = createSocket(type);
    const got: string[] = [];
    socket.on("message", (bytes) => got.push(text(bytes)));
    socket.bind(0, host.replace(/[[\]]/g, ""));
    await once(socket, "listening");
    const book = new LogBook();
    tell(book, "one");
    const { sender, troubles } = send(book, `udp://${host}:${socket.address().port}`);
    tell(book, "two");
    await until(() => got.length === 2);
    tell(book, "three");
    await until(() => got.length === 3);
    assertEquals(got.map((it) => it.replace(/.* - /, "")), ["one", "two", "three"]);
    assertEquals(troubles, []);
    sender.close();
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  }
});

/** Takes what comes on one connection after the other. */
class Receiver {
  received = "";
  connections = 0;
  readonly #listener: Deno.Listener;
  #connection: Deno.Conn | null = null;

  constructor(port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    void this.#run();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  get messages(): string[] {
    const found: string[] = [];
    let rest = this.received;
    for (let match; (match = /^(\d+) /.exec(rest));) {
      const end = match[0].length + Number(match[1]);
      if (rest.length < end) break;
      found.push(rest.slice(match[0].length, end));
      rest = rest.slice(end);
    }
    return found;
  }

  close(): void {
    this.#listener.close();
    this.hangUp();
  }

  hangUp(): void {
    try {
      this.#connection?.close();
    } catch {
      // It is closed.
    }
  }

  async #run(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connection = connection;
        this.connections++;
        const bytes = new Uint8Array(4096);
        for (let count; (count = await connection.read(bytes).catch(() => null)) !== null;) {
          this.received += text(bytes.subarray(0, count));
        }
        this.received = "";
      }
    } catch {
      // It was closed.
    }
  }
}

Deno.test("records go by TCP with their lengths; who is away gets them when it is back", async () => {
  const first = new Receiver();
  const { port } = first;
  first.close();
  const book = new LogBook({ records: 30 });
  const began = performance.now();
  for (let i = 1; i <= 40; i++) tell(book, `m${i}`);
  const { sender, troubles } = send(book, `tcp://127.0.0.1:${port}`);
  assert(performance.now() - began < 5000, "nobody waited");
  await until(() => troubles.length === 1);
  const receiver = new Receiver(port);
  await until(() => receiver.messages.length === 31);
  const [lost, ...rest] = receiver.messages.map((it) => it.replace(/.*? - boot - /, ""));
  assertEquals(lost, "10 records were lost before they could be sent");
  assertEquals(rest, [...Array(30).keys()].map((it) => `m${it + 11}`));
  assertEquals(troubles.length, 2);
  assertEquals(troubles[1], null);
  receiver.hangUp();
  await until(() => {
    // The first after a hang-up may be lost on the way: TCP has no answer for it.
    tell(book, "again");
    return receiver.connections === 2 && receiver.messages.length > 0;
  });
  sender.close();
  receiver.close();
});

Deno.test("a receiver that takes nothing is given up, and tried again", async () => {
  const book = new LogBook();
  let opened = 0;
  const troubles: (string | null)[] = [];
  const sender = new SyslogSender({
    ...{ book, target: parseSyslogTarget("tcp://h")!, hostname: () => "h" },
    ...{ onTrouble: (why) => troubles.push(why), firstRetryMs: 1, stallMs: 20 },
    open: () => {
      opened++;
      return Promise.resolve({
        limit: 1000,
        send: () => new Promise<void>(() => {}),
        [Symbol.dispose]: () => {},
      });
    },
  });
  tell(book, "x");
  await until(() => opened >= 3);
  assertEquals(troubles, ["it takes nothing any more"]);
  sender.close();
});
