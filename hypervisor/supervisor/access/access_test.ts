import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { join } from "@std/path";
import { ApiProblem } from "../problem.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { CHEAP } from "../testing/test_host.ts";
import { Access } from "./access.ts";
import { ARGON2_COSTS, checkPassword, hashPassword } from "./password.ts";
import { hashToken, normalizeCode, randomCode, sameSecret } from "./secrets.ts";
import { MAX_SESSIONS, SESSION_IDLE_MS, SESSION_LIFE_MS, Sessions } from "./sessions.ts";

const PASSWORD = "correct horse battery";

interface Tools {
  codeFile: string;
  database: Database;
  code: () => string;
  reopen: () => Promise<Access>;
}

async function withAccess(use: (access: Access, tools: Tools) => Promise<void>) {
  const directory = Deno.makeTempDirSync();
  const database = openDatabase(join(directory, "db"));
  const codeFile = join(directory, "setup_code");
  const code = () => Deno.readTextFileSync(codeFile).trim();
  const reopen = async () => {
    const access = new Access(database, { codeFile, costs: CHEAP });
    await access.prepare();
    return access;
  };
  try {
    await use(await reopen(), { codeFile, database, code, reopen });
  } finally {
    database.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("a code has 100 random bits in groups that a person can type", () => {
  for (let i = 0; i < 100; i++) {
    assert(/^([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}$/.test(randomCode()));
  }
  assertNotEquals(randomCode(), randomCode());
});

Deno.test("a code is the same however it is typed", () => {
  fc.assert(fc.property(fc.constant(null).map(randomCode), (code) => {
    const typed = code.toLowerCase().replaceAll("-", " ").replaceAll("1", "l").replaceAll("0", "o");
    assertEquals(normalizeCode(typed), normalizeCode(code));
  }));
});

Deno.test("secrets are the same only if all of them is", () => {
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => {
    assertEquals(sameSecret(a, b), a === b);
    assert(sameSecret(a, a));
  }));
});

Deno.test("a password is kept as Argon2id with its costs, salted", async () => {
  const kept = await hashPassword(PASSWORD);
  const { memory, passes } = ARGON2_COSTS;
  assert(kept.startsWith(`argon2id$m=${memory},t=${passes},p=1$`), kept);
  assert(!kept.includes(PASSWORD));
  assertNotEquals(kept, await hashPassword(PASSWORD));
  assert(await checkPassword(PASSWORD, kept));
  assertEquals(await checkPassword(PASSWORD + " ", kept), false);
});

Deno.test("a password checks against its own kept costs, and however its letters are composed", async () => {
  const kept = await hashPassword("pässwörd", CHEAP);
  assert(await checkPassword("pässwörd".normalize("NFD"), kept));
});

Deno.test("any kept text that is no hash is refused", async () => {
  await fc.assert(fc.asyncProperty(fc.string(), async (kept) => {
    await assertRejects(() => checkPassword("x", kept), SyntaxError);
  }));
});

Deno.test("the code sets the password once, and is gone", async () => {
  await withAccess(async (access, { code, reopen }) => {
    assert(access.setupNeeded);
    const right = code();
    await assertRejects(
      () => access.setUp({ code: randomCode(), password: PASSWORD }, "a"),
      ApiProblem,
      "the code is wrong",
    );
    assert(access.setupNeeded);
    await access.setUp({ code: right.toLowerCase(), password: PASSWORD }, "a");
    assertEquals(access.setupNeeded, false);
    let error = await assertRejects(() => Promise.resolve().then(code), Deno.errors.NotFound);
    assert(error);
    error = await assertRejects(
      () => access.setUp({ code: right, password: "another password" }, "a"),
      ApiProblem,
      "done already",
    );
    await access.logIn(PASSWORD, "a");
    assertEquals((await reopen()).setupNeeded, false);
  });
});

Deno.test("the code file is for its owner alone, and its clear text is nowhere else", async () => {
  await withAccess(async (access, { code, reopen, codeFile, database }) => {
    const shown = code();
    assertEquals(Deno.statSync(codeFile).mode! & 0o777, 0o600);
    const settings = JSON.stringify(database.prepare("SELECT * FROM settings").all());
    assert(!settings.includes(shown) && !settings.includes(normalizeCode(shown)));
    await reopen();
    assertEquals(code(), shown, "a restart keeps the code that is on the screen");
    assert(access.setupNeeded);
  });
});

Deno.test("two set-ups at once set one password", async () => {
  await withAccess(async (access, { code }) => {
    const right = code();
    const results = await Promise.allSettled([
      access.setUp({ code: right, password: "the first password" }, "a"),
      access.setUp({ code: right, password: "the second password" }, "b"),
    ]);
    assertEquals(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });
});

Deno.test("a wrong password is refused, and after some the right one has to wait too", async () => {
  await withAccess(async (access, { code }) => {
    await assertRejects(() => access.logIn(PASSWORD, "a"), ApiProblem, "Set up first");
    await access.setUp({ code: code(), password: PASSWORD }, "a");
    for (let i = 0; i < 4; i++) {
      await assertRejects(() => access.logIn("wrong password", "a"), ApiProblem, "wrong");
    }
    const error = await assertRejects(() => access.logIn(PASSWORD, "a"), ApiProblem);
    assertEquals(error.code, "too_many_attempts");
    await access.logIn(PASSWORD, "10.0.0.2");
  });
});

Deno.test("guesses at once are counted before any is checked", async () => {
  await withAccess(async (access, { code }) => {
    await access.setUp({ code: code(), password: PASSWORD }, "a");
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => access.logIn("wrong password", "a")),
    );
    const codes = results.map((result) =>
      result.status === "rejected" ? (result.reason as ApiProblem).code : "in"
    );
    assertEquals(codes.filter((code) => code === "wrong_password").length, 4);
    assertEquals(codes.filter((code) => code === "too_many_attempts").length, 16);
  });
});

Deno.test("a reset signs everyone out and makes another code", async () => {
  await withAccess(async (access, { code }) => {
    const first = code();
    await access.setUp({ code: first, password: PASSWORD }, "a");
    const { token } = await access.logIn(PASSWORD, "a");
    const session = await access.sessions.find(token);
    await access.reset();
    assert(session!.ended.aborted);
    assertEquals(await access.sessions.find(token), null);
    assert(access.setupNeeded);
    assertNotEquals(code(), first);
    await access.setUp({ code: code(), password: PASSWORD }, "a");
  });
});

function withSessions(use: (sessions: Sessions, clock: { now: number }) => Promise<void>) {
  const database = openDatabase(":memory:");
  const clock = { now: 1_000_000 };
  return use(new Sessions(database, () => clock.now), clock).finally(() => database.close());
}

Deno.test("a session is found by its token alone, which the database does not hold", async () => {
  const database = openDatabase(":memory:");
  const sessions = new Sessions(database);
  const { token, csrfToken } = await sessions.create();
  assertEquals((await sessions.find(token))?.csrfToken, csrfToken);
  assertEquals(await sessions.find(token.slice(1) + "A"), null);
  const rows = JSON.stringify(database.prepare("SELECT * FROM sessions").all());
  assert(!rows.includes(token) && !rows.includes(csrfToken));
  assert(rows.includes(await hashToken(token)));
  assertEquals(await sessions.find(await hashToken(token)), null);
  database.close();
});

Deno.test("a session ends when it is idle, and in any case after a time", async () => {
  await withSessions(async (sessions, clock) => {
    const { token } = await sessions.create();
    clock.now += SESSION_IDLE_MS - 1;
    assert(await sessions.find(token));
    clock.now += SESSION_IDLE_MS - 1;
    const session = await sessions.find(token);
    assert(session);
    clock.now += SESSION_IDLE_MS;
    assertEquals(await sessions.find(token), null);
    assert(session.ended.aborted);
  });
  await withSessions(async (sessions, clock) => {
    const { token } = await sessions.create();
    const end = clock.now + SESSION_LIFE_MS;
    while (clock.now + SESSION_IDLE_MS / 2 < end) {
      clock.now += SESSION_IDLE_MS / 2;
      assert(await sessions.find(token));
    }
    clock.now = end;
    assertEquals(await sessions.find(token), null);
  });
});

Deno.test("signing in ever again keeps a bounded number of sessions", async () => {
  await withSessions(async (sessions, clock) => {
    const tokens: string[] = [];
    for (let i = 0; i < MAX_SESSIONS + 3; i++) {
      clock.now++;
      tokens.push((await sessions.create()).token);
    }
    const found = await Promise.all(tokens.map((token) => sessions.find(token)));
    assertEquals(found.map((session) => session !== null), [
      ...Array(3).fill(false),
      ...Array(MAX_SESSIONS).fill(true),
    ]);
  });
});

Deno.test("a password that was given from outside is taken once", async () => {
  await withAccess(async (_, { codeFile, database }) => {
    const passwordFile = `${codeFile}.given`;
    const start = async () => {
      const access = new Access(database, { codeFile, passwordFile, costs: CHEAP });
      await access.prepare();
      return access;
    };
    assertEquals((await start()).setupNeeded, true, "there is none yet");
    await Deno.writeTextFile(passwordFile, "no hash");
    assertEquals((await start()).setupNeeded, true, "what is no hash is not taken");
    await Deno.writeTextFile(passwordFile, await hashPassword(PASSWORD, CHEAP));
    const given = await start();
    assertEquals(given.setupNeeded, false);
    const { token } = await given.logIn(PASSWORD, "a");
    assert(await given.sessions.find(token), "it signs in");
    await given.reset();
    assertEquals((await start()).setupNeeded, true, "what was reset stays so");
    await Deno.writeTextFile(passwordFile, await hashPassword("another one", CHEAP));
    await (await start()).logIn("another one", "a");
  });
});
