import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { ANSWERS, serveFakeAgent } from "../testing/fake_agent.ts";
import { AgentClient, whileFrozen } from "./client.ts";
import { AgentRefusal, MAX_REPLY_BYTES } from "./replies.ts";

const LIMIT = { limitMs: 5_000 };

/** A path for a socket, gone after `use`. */
async function withSocket(use: (path: string) => Promise<void>) {
  const directory = Deno.makeTempDirSync({ prefix: "agent-" });
  try {
    await use(`${directory}/agent.sock`);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** A guest that answers to everything with the same bytes. */
function answerWith(path: string, bytes: Uint8Array<ArrayBuffer>): Disposable {
  const listener = Deno.listen({ transport: "unix", path });
  (async () => {
    for await (const connection of listener) {
      (async () => {
        const buffer = new Uint8Array(1024);
        while (await connection.read(buffer) !== null) {
          for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
        }
      })().catch(() => {}).finally(() => {
        try {
          connection.close();
        } catch {
          // It is closed already.
        }
      });
    }
  })().catch(() => {});
  return { [Symbol.dispose]: () => listener.close() };
}

Deno.test("an agent tells its version, its system and its addresses", async () => {
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path);
    {
      using agent = await AgentClient.connect(path, LIMIT);
      assertEquals(await agent.info(), { version: "9.2.0", commands: ["guest-ping"] });
      assertEquals(await agent.os(), "Debian GNU/Linux 13 (trixie)");
      assertEquals(await agent.addresses(), ["192.168.1.77", "2001:db8::7"]);
      await agent.shutdown();
    }
    // The next conversation begins where nothing of this one is left.
    using again = await AgentClient.connect(path, LIMIT);
    assertEquals(await again.os(), "Debian GNU/Linux 13 (trixie)");
    fake.close();
  });
});

Deno.test("what an agent cannot do is told as it says it", async () => {
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path, {});
    using agent = await AgentClient.connect(path, LIMIT);
    await assertRejects(() => agent.os(), AgentRefusal, "has not been found");
    fake.close();
  });
});

Deno.test("file systems are thawed again, however what was done meanwhile ends", async () => {
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path);
    assertEquals(await whileFrozen(path, LIMIT, () => Promise.resolve(7)), 7);
    await assertRejects(
      () => whileFrozen(path, LIMIT, () => Promise.reject(new Error("no room"))),
      Error,
      "no room",
    );
    const told = fake.commands.filter((it) => it.includes("fsfreeze"));
    assertEquals(told.map((it) => it.slice("guest-fsfreeze-".length)), [
      "freeze",
      "thaw",
      "freeze",
      "thaw",
    ]);
    fake.close();
  });
});

Deno.test("it is told whether any may be frozen, before and after", async () => {
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path);
    const told: boolean[] = [];
    const options = { ...LIMIT, frozen: (is: boolean) => void told.push(is) };
    const act = () => {
      assertEquals([told.splice(0), fake.isFrozen], [[true], true]);
      return Promise.resolve();
    };
    await whileFrozen(path, options, act);
    assertEquals([told.splice(0), fake.isFrozen], [[false], false]);
    // Somebody else's are not thawed, nor taken for thawed.
    fake.isFrozen = true;
    await assertRejects(() => whileFrozen(path, options, act), AgentRefusal, "in frozen state");
    assertEquals([told.splice(0), fake.isFrozen], [[true, true], true]);
    fake.close();
  });
  // One that cannot freeze has not.
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path, {});
    const told: boolean[] = [];
    const options = { ...LIMIT, frozen: (is: boolean) => void told.push(is) };
    await assertRejects(() => whileFrozen(path, options, () => Promise.resolve()), AgentRefusal);
    assertEquals(told, [true, false]);
    fake.close();
  });
});

Deno.test("a guest that has thawed by itself needs no thawing", async () => {
  await withSocket(async (path) => {
    const { "guest-fsfreeze-thaw": _, ...answers } = ANSWERS;
    const fake = serveFakeAgent(path, answers);
    await whileFrozen(path, LIMIT, () => Promise.resolve(void (fake.isFrozen = false)));
    await assertRejects(() => whileFrozen(path, LIMIT, () => Promise.resolve()), Error, "thaw");
    assertEquals(fake.isFrozen, true);
    fake.close();
  });
});

Deno.test("who never answers is given up after the limit, and thawed as far as it can be", async () => {
  await withSocket(async (path) => {
    using _ = answerWith(path, new Uint8Array());
    await assertRejects(
      () => AgentClient.connect(path, { limitMs: 50 }),
      Error,
      "no answer within 50 ms",
    );
    let done = false;
    const act = () => Promise.resolve(void (done = true));
    await assertRejects(() => whileFrozen(path, { limitMs: 20 }, act), Error, "no answer");
    assertEquals(done, false);
  });
  // One that freezes and does not say so is thawed too; one that cannot freeze is left alone.
  await withSocket(async (path) => {
    const answers: Record<string, unknown> = { "guest-fsfreeze-freeze": "many" };
    const fake = serveFakeAgent(path, { ...answers, "guest-fsfreeze-thaw": 1 });
    await assertRejects(() => whileFrozen(path, LIMIT, () => Promise.resolve()), SyntaxError);
    assertEquals(fake.commands.at(-1), "guest-fsfreeze-thaw");
    fake.close();
  });
  await withSocket(async (path) => {
    const fake = serveFakeAgent(path, {});
    await assertRejects(() => whileFrozen(path, LIMIT, () => Promise.resolve()), AgentRefusal);
    assertEquals(fake.commands.at(-1), "guest-fsfreeze-freeze");
    fake.close();
  });
  await withSocket(async (path) => {
    await assertRejects(() => AgentClient.connect(path, LIMIT), Deno.errors.NotFound);
  });
});

Deno.test("an endless line, or endless lines, end the conversation and not the supervisor", async () => {
  await withSocket(async (path) => {
    using _ = answerWith(path, new Uint8Array(2 * MAX_REPLY_BYTES).fill(120));
    await assertRejects(() => AgentClient.connect(path, LIMIT), RangeError, "longer than");
  });
  await withSocket(async (path) => {
    using _ = answerWith(path, new TextEncoder().encode('{"return":1}\n'.repeat(1000)));
    await assertRejects(() => AgentClient.connect(path, LIMIT), Error, "answers something else");
  });
});

Deno.test("whatever an agent answers, it is a value of the right form or an error", async () => {
  const address = fc.record({ "ip-address": fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()) });
  const answers = fc.record({
    "guest-info": fc.oneof(fc.jsonValue(), fc.constant(ANSWERS["guest-info"])),
    "guest-get-osinfo": fc.oneof(
      fc.jsonValue(),
      fc.record({ name: fc.string({ unit: "binary", maxLength: 300 }) }),
    ),
    "guest-network-get-interfaces": fc.oneof(
      fc.jsonValue(),
      fc.array(fc.oneof(
        fc.jsonValue(),
        fc.record({ name: fc.string(), "ip-addresses": fc.array(address) }),
      )),
    ),
    "guest-fsfreeze-freeze": fc.oneof(fc.jsonValue(), fc.double()),
    "guest-fsfreeze-status": fc.oneof(fc.jsonValue(), fc.constantFrom("frozen", "thawed")),
  });
  await withSocket(async (path) => {
    const now: Record<string, unknown> = {};
    const fake = serveFakeAgent(path, now);
    await fc.assert(
      fc.asyncProperty(answers, async (answers) => {
        Object.assign(now, answers);
        fake.isFrozen = false;
        using agent = await AgentClient.connect(path, LIMIT);
        const orNull = <T>(answer: Promise<T>) =>
          answer.catch((error) => {
            assert(error instanceof SyntaxError, String(error));
            return null;
          });
        const os = await orNull(agent.os());
        assert(os === null || (os.length <= 100 && !/[\p{C}]/u.test(os)), JSON.stringify(os));
        const addresses = await orNull(agent.addresses()) ?? [];
        assert(addresses.length <= 64);
        for (const it of addresses) {
          assert(URL.canParse(`http://${it.includes(":") ? `[${it}]` : it}/`), it);
        }
        const info = await orNull(agent.info());
        assert(info === null || info.commands.every((it) => typeof it === "string"));
        const frozen = await orNull(agent.freeze());
        assert(frozen === null || (Number.isSafeInteger(frozen) && frozen >= 0));
        const isFrozen = await orNull(agent.isFrozen());
        const known = ["frozen", "thawed"].indexOf(answers["guest-fsfreeze-status"] as string);
        assertEquals(isFrozen, known < 0 ? null : known === 0);
      }),
      { numRuns: 200 },
    );
    fake.close();
  });
});

Deno.test("any bytes for an answer end in an error", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await withSocket(async (path) => {
        using _ = answerWith(path, new Uint8Array([...bytes, 10]));
        await assertRejects(() => AgentClient.connect(path, { limitMs: 15 }));
      });
    }),
    { numRuns: 20 },
  );
});
