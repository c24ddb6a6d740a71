import { assert, assertEquals } from "@std/assert";
import { type ProcessFacts, sessionsOf, sshService } from "./ssh.ts";

const process = (pid: number, parent: number, isServer = false): ProcessFacts => ({
  ...{ pid, parent, isServer },
});

Deno.test("sessions and all below them are found, and neither the listener nor anything else", () => {
  const all = [
    ...[process(1, 0), process(20, 1), process(30, 1, true)],
    // A session with a shell in it and what that runs, and one whose listener is gone.
    ...[process(40, 30, true), process(41, 40), process(42, 41), process(50, 1, true)],
    ...[process(21, 20)],
  ];
  const pids = (listener: number) => sessionsOf(all, listener).map(({ pid }) => pid).sort();
  assertEquals(pids(30), [40, 41, 42, 50]);
  assertEquals(sessionsOf([process(1, 0), process(30, 1, true)], 30), []);
});

Deno.test("the server takes keys alone and forwards nothing", () => {
  const { command } = sshService("/data/host/ssh/ed25519");
  for (const option of ["-s", "-j", "-k", "-F", "-E"]) assert(command.includes(option), option);
  for (const option of ["-B", "-a", "-t", "-R"]) assert(!command.includes(option), option);
  assertEquals(command[command.indexOf("-r") + 1], "/data/host/ssh/ed25519");
});
