import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  EventMessage,
  ExitFile,
  ForkLine,
  parseMessage,
  readMessage,
  ResponseMessage,
  SaveLine,
  UpgradeMessage,
} from "./wire.ts";

Deno.test("whatever a VMM says is a message or a SyntaxError", () => {
  for (
    const schema of [ResponseMessage, EventMessage, ExitFile, SaveLine, ForkLine, UpgradeMessage]
  ) {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        parseMessage<unknown>(schema, text, "a message");
      } catch (error) {
        assert(error instanceof SyntaxError);
      }
    }));
  }
});

Deno.test("messages of the protocol are understood, with fields that a newer VMM may add", () => {
  const status = {
    version: 1,
    pid: 7,
    name: "web",
    state: "running",
    startedAt: 5,
    cpus: 1,
    memoryMiB: 128,
  };
  const answer = JSON.stringify({ ok: true, status: { ...status, later: 1 } });
  const read = (text: string) => parseMessage<unknown>(ResponseMessage, text, "it");
  // One of before there were upgrades does not say which release it is of.
  assertEquals(read(answer), { ok: true, status: { ...status, program: "" } });
  const receiving = { phase: "ready", handOver: "0" };
  const told = { ok: true, status: { ...status, program: "1.2", state: "waiting", receiving } };
  assertEquals(read(JSON.stringify(told)), told);
  assertEquals(
    parseMessage(EventMessage, '{"event":"exit","reason":"crash","message":"m"}', "it"),
    { event: "exit", reason: "crash", message: "m" },
  );
  assertThrows(
    () => parseMessage(EventMessage, '{"event":"exit","reason":"bored","message":"m"}', "an event"),
    SyntaxError,
    "Cannot read an event: reason:",
  );
});

Deno.test("what follows the answer to a save and a fork is understood", () => {
  const saving = { phase: "copying", doneBytes: 1, totalBytes: 2, rounds: 1, remainingBytes: 1 };
  const lines = [{ saving }, { held: true }, { saved: "/s", pauseMs: 1.5, bytes: 2 }, {
    error: "no",
  }];
  for (const line of lines) {
    assertEquals<unknown>(parseMessage(SaveLine, JSON.stringify(line), "it"), line);
  }
  const forked = { pausedMs: 1, copiedBytes: 0 };
  for (const line of [{ held: true }, { forked }, { error: "no" }]) {
    assertEquals<unknown>(parseMessage(ForkLine, JSON.stringify(line), "it"), line);
  }
  assertThrows(() => parseMessage(SaveLine, '{"saved":"/s","pauseMs":-1}', "it"), SyntaxError);
});

Deno.test("a file that is missing or half written is none", () => {
  const path = Deno.makeTempFileSync();
  assertEquals(readMessage(ExitFile, path), null);
  Deno.writeTextFileSync(path, '{"reason":"crash","mess');
  assertEquals(readMessage(ExitFile, path), null);
  Deno.writeTextFileSync(path, '{"reason":"crash","message":"m"}');
  assertEquals(readMessage(ExitFile, path), { reason: "crash", message: "m" });
  Deno.removeSync(path);
  assertEquals(readMessage(ExitFile, path), null);
});

Deno.test("a message is no longer than a person reads", () => {
  const text = JSON.stringify({ reason: "crash", message: "x".repeat(100_000) });
  assertEquals(parseMessage(ExitFile, text, "it").message.length, 4096);
});
