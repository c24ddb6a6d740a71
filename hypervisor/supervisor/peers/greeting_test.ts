import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import type { PeerRecord } from "../store/peers.ts";
import type { Address } from "./address.ts";
import { PeerChannel } from "./channel.ts";
import { certificateAt, connect, dial } from "./dial.ts";
import { PeerError } from "./frames.ts";
import { Answer, FirstWord, Hello, pair, PairAnswer, WrongCodeError } from "./greeting.ts";
import { type HostIdentity, loadIdentity } from "./identity.ts";
import { PeerListener } from "./listener.ts";
import { Facts, MoveRequest, Request } from "./messages.ts";
import { PairingDesk } from "./pairing.ts";
import { Parcel } from "./parcel.ts";
import { clientText } from "./proofs.ts";

const directory = Deno.makeTempDirSync();
const [SERVER, CLIENT, OTHER] = await Promise.all(
  ["server", "client", "other"].map((name) => loadIdentity(`${directory}/${name}`)),
);
Deno.removeSync(directory, { recursive: true });

function recordOf({ fingerprint, certificate }: HostIdentity, at: Address): PeerRecord {
  const address = `${at.hostname}:${at.port}`;
  return { id: "1", name: "it", address, fingerprint, certificate, pairedAt: "" };
}

interface Served extends AsyncDisposable {
  at: Address;
  desk: PairingDesk;
  /** Who was let in, or paired with. */
  met: string[];
}

/** A host that knows CLIENT, and says hello to those it lets in. */
async function serve(): Promise<Served> {
  const met: string[] = [];
  const desk = new PairingDesk();
  const hostname = "127.0.0.1";
  const listener = await PeerListener.open({
    ...{ hostname, port: 0, log: () => {} },
    desk: {
      identity: SERVER,
      name: "server",
      find: (it) => it === CLIENT.fingerprint ? recordOf(CLIENT, { hostname, port: 1 }) : null,
      takeCode: () => desk.takeCode(),
    },
    serve: async (channel, peer) => {
      met.push(peer.fingerprint);
      await channel.say("hello");
      await channel.end();
    },
    paired: ({ name, port }) => met.push(`${name}:${port}`),
  });
  return {
    ...{ at: { hostname, port: listener.port }, desk, met },
    async [Symbol.asyncDispose]() {
      listener.close();
      await listener.settled();
    },
  };
}

Deno.test("a host that is known is let in, and another with its certificate is not", async () => {
  await using server = await serve();
  using channel = await dial(recordOf(SERVER, server.at), CLIENT);
  assertEquals(await channel.next(1000), { kind: "message", message: "hello" });
  assertEquals(server.met, [CLIENT.fingerprint]);
  await assertRejects(() => dial(recordOf(SERVER, server.at), OTHER), PeerError, "does not know");
  const thief = { ...OTHER, fingerprint: CLIENT.fingerprint };
  await assertRejects(() => dial(recordOf(SERVER, server.at), thief), PeerError, "does not know");
  assertEquals(server.met.length, 1);
});

Deno.test("a server with another certificate hears nothing", async () => {
  await using server = await serve();
  const error = await assertRejects(
    () => dial(recordOf(OTHER, server.at), CLIENT),
    PeerError,
  );
  assertStringIncludes(error.message, "invalid peer certificate");
  assertEquals(server.met, []);
});

Deno.test("what was signed for one host is good at no other, and at none again", async () => {
  const ends = { server: SERVER.fingerprint, client: CLIENT.fingerprint };
  const texts = new Set([
    clientText("0", ends),
    clientText("1", ends),
    clientText("0", { ...ends, server: OTHER.fingerprint }),
    clientText("0", { ...ends, client: OTHER.fingerprint }),
  ]);
  assertEquals(texts.size, 4);
  await Promise.resolve();
});

const me = { identity: CLIENT, name: "client", port: 7 };

Deno.test("a pairing needs the code, each once", async () => {
  await using server = await serve();
  const tryIt = async (code: string, shown = SERVER.certificate) => {
    using channel = await connect(server.at, shown);
    return await pair(channel, { ...me, server: SERVER.fingerprint, code });
  };
  await assertRejects(() => tryIt("AAAAA"), WrongCodeError);
  const { code } = server.desk.offer();
  await assertRejects(() => tryIt("AAAAA"), WrongCodeError);
  assertEquals(await tryIt(code.toLowerCase().replaceAll("-", " ")), { name: "server" });
  assertEquals(server.met, ["client:7"]);
  await assertRejects(() => tryIt(code), WrongCodeError);
});

Deno.test("an offer is over after some wrong codes, and after its time", () => {
  let now = 0;
  const desk = new PairingDesk(() => now);
  desk.offer();
  for (let i = 0; i < 5; i++) desk.takeCode()!.putBack();
  assertEquals(desk.takeCode(), null);
  desk.offer();
  now = 10 * 60_000;
  assertEquals(desk.takeCode(), null);
  desk.offer();
  assertEquals([desk.takeCode() !== null, desk.takeCode()], [true, null], "one at a time");
});

Deno.test("whoever sits in the middle of a pairing gets nothing of it", async () => {
  await using server = await serve();
  const { code } = server.desk.offer();
  // It shows a certificate of its own, and passes on all that is said.
  const { key, certificate: cert } = OTHER;
  using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, key, cert });
  const passing = (async () => {
    const from = await listener.accept();
    await from.handshake().catch(() => {});
    using to = await connect(server.at, SERVER.certificate);
    const channel = new PeerChannel(from);
    const copy = async (source: PeerChannel, target: PeerChannel) => {
      const bytes = new Uint8Array(4096);
      for (;;) {
        const count = await source.read(bytes).catch(() => 0);
        if (count === 0) return await target.end();
        await target.write(bytes.slice(0, count)).catch(() => {});
      }
    };
    await Promise.all([copy(channel, to), copy(to, channel)]);
  })();
  using channel = await connect(
    { hostname: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port },
    OTHER.certificate,
  );
  await assertRejects(
    () => pair(channel, { ...me, server: OTHER.fingerprint, code }),
    WrongCodeError,
  );
  await passing;
  assertEquals(server.met, []);
});

Deno.test("a certificate is what somebody shows, and strangers are hung up on", async () => {
  await using server = await serve();
  assertEquals(
    (await certificateAt(server.at)).replace(/\s/g, ""),
    SERVER.certificate.replace(/\s/g, ""),
  );
  const crowd: Deno.TcpConn[] = [];
  for (let i = 0; i < 20; i++) crowd.push(await Deno.connect(server.at));
  const bytes = new Uint8Array(1);
  // Those beyond the limit are closed at once; the others are waited for.
  assertEquals(await crowd.at(-1)!.read(bytes).catch(() => null), null);
  for (const one of crowd) one.close();
});

Deno.test("whatever another host says is what it may say, or is refused", () => {
  const schemas = [Hello, FirstWord, Answer, PairAnswer, Request, MoveRequest, Facts, Parcel];
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), likeRequests()), (value) => {
      for (const schema of schemas) {
        const result = schema.safeParse(value);
        // What is taken comes back the same: nothing is made up, and nothing unknown let through.
        if (result.success) assertEquals(schema.parse(result.data), result.data);
      }
    }),
    { numRuns: 500 },
  );
});

function likeRequests(): fc.Arbitrary<unknown> {
  const some = fc.oneof(fc.string(), fc.integer(), fc.constant("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  return fc.record({
    op: fc.constantFrom("facts", "forget", "move", "memory", "settle", "heard", "ping", "seal"),
    move: some,
    owner: fc.constantFrom("sender", "receiver", null, "me"),
    offer: fc.jsonValue(),
  }, { requiredKeys: ["op"] });
}
