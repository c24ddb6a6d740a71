import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { HostSshChange } from "../../hypervisor/supervisor/api/ssh_schemas.ts";
import { authorizedKeys, fingerprintOf, publicKeyIn } from "./authorized_keys.ts";
import { HostSsh, type SshGround, SshRefusal } from "./host_ssh.ts";

/** A key that `dropbearkey` made, and the fingerprint that it printed with it. */
const KEY =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOKQykjHkzFHdcQocSMuj/hHgQZ5BQTzQx2eRobUwAoi me@home";
const FINGERPRINT = "SHA256:McucBcUrHu1Ggrqrg6DazK80Y7iujbNfpRgFtOfarT4";
const OTHER = `ssh-ed25519 ${btoa("\0\0\0\x0bssh-ed25519\0\0\0\x20other")} you@home`;

class FakeGround implements SshGround {
  text: string | null = null;
  readonly did: string[] = [];
  /** What the next key of the host costs. */
  failure: Error | null = null;

  writeKeys(text: string): void {
    this.text = text;
  }

  hostKey(): Promise<string> {
    if (this.failure) return Promise.reject(this.failure);
    return Promise.resolve(KEY.split(" ").slice(0, 2).join(" "));
  }

  start(): () => Promise<void> {
    this.did.push("start");
    return () => {
      this.did.push("stop");
      return Promise.resolve();
    };
  }

  endSessions(): void {
    this.did.push("end sessions");
  }
}

function hostSsh(options: { keep?: (keys: string[]) => void } = {}) {
  const ground = new FakeGround();
  const kept: string[][] = [];
  const lines: string[] = [];
  const problems: (string | null)[] = [];
  const ssh = new HostSsh({
    ground,
    keep: options.keep ?? ((keys) => void kept.push(keys)),
    log: (text) => lines.push(text),
    onProblem: (problem) => problems.push(problem),
  });
  return { ground, kept, lines, problems, ssh };
}

Deno.test("without keys nothing is started, and no key is made for the host", async () => {
  const { ground, ssh, lines } = hostSsh();
  await ssh.begin([]);
  assertEquals([ground.did, ground.text, lines], [[], null, []]);
  assertEquals(await ssh.tell(), { isOn: false, keys: [], hostKey: null, problem: null });
});

Deno.test("keys that are kept let in from the start, with a shell and no more", async () => {
  const { ground, ssh, lines, kept } = hostSsh();
  await ssh.begin([KEY]);
  assertEquals([ground.did, lines, kept], [["start"], ["SSH is on, for 1 key"], []]);
  assertEquals(
    ground.text,
    `no-port-forwarding,no-agent-forwarding,no-X11-forwarding ${KEY}\n`,
  );
  const told = await ssh.tell();
  assertEquals([told.isOn, told.keys], [true, [{ key: KEY, fingerprint: FINGERPRINT }]]);
  assertEquals(told.hostKey?.fingerprint, FINGERPRINT);
});

Deno.test("another key holds at once, by the server that runs", async () => {
  const { ground, ssh, kept } = hostSsh();
  await ssh.begin([KEY]);
  await ssh.change([KEY, OTHER, OTHER]);
  assertEquals([ground.did, kept], [["start"], [[KEY, OTHER]]]);
  assertEquals(ground.text?.split("\n").length, 3);
});

Deno.test("who was let in by a key that is taken away is logged out; with the last the server ends", async () => {
  const { ground, ssh, lines } = hostSsh();
  await ssh.begin([KEY, OTHER]);
  await ssh.change([OTHER]);
  assertEquals(ground.did, ["start", "end sessions"]);
  const told = await ssh.change([]);
  assertEquals(ground.did, ["start", "end sessions", "stop", "end sessions"]);
  assertEquals([ground.text, told.isOn, lines.at(-1)], ["", false, "SSH is off"]);
  await ssh.change([KEY]);
  assertEquals(ground.did.at(-1), "start");
});

Deno.test("what cannot be kept does not hold", async () => {
  const { ground, ssh } = hostSsh({
    keep: () => {
      throw new Error("the disk is full");
    },
  });
  await ssh.begin([KEY]);
  const refused = await assertRejects(() => ssh.change([KEY, OTHER]), SshRefusal);
  assertEquals(refused.message, "Cannot keep the keys: the disk is full");
  assertEquals([ground.text?.includes(OTHER), (await ssh.tell()).keys.length], [false, 1]);
});

Deno.test("a server that cannot be is a problem, until it can", async () => {
  const { ground, ssh, problems } = hostSsh();
  ground.failure = new Error("no randomness");
  await ssh.begin([KEY]);
  assertEquals((await ssh.tell()).problem, "Cannot offer SSH: no randomness");
  assertEquals([(await ssh.tell()).isOn, problems.at(-1)], [
    false,
    "Cannot offer SSH: no randomness",
  ]);
  ground.failure = null;
  assertEquals((await ssh.change([KEY])).isOn, true);
  assertEquals(problems.at(-1), null);
});

Deno.test("a fingerprint is what SSH clients show", async () => {
  assertEquals(await fingerprintOf(KEY), FINGERPRINT);
});

Deno.test("the host's key is found in what dropbearkey prints, and nothing else is taken for one", () => {
  const printed = `Public key portion is:\n${KEY}\nFingerprint: ${FINGERPRINT}\n`;
  assertEquals(publicKeyIn(printed), KEY.replace(" me@home", ""));
  assertThrows(() => publicKeyIn("Exited: no such file\n"), SyntaxError, "no such file");
});

Deno.test("whatever the API takes for keys is a line each, which begins with what is forbidden", () => {
  const key = fc.oneof(
    fc.constantFrom(KEY, OTHER, `command="sh" ${KEY}`, `${KEY}\n${OTHER}`, `${KEY}\r`, ` ${KEY}`),
    fc.tuple(fc.nat(KEY.length), fc.string({ unit: "binary", maxLength: 3 })).map(([at, text]) =>
      KEY.slice(0, at) + text + KEY.slice(at)
    ),
  );
  fc.assert(
    fc.property(fc.array(key, { maxLength: 4 }), (keys) => {
      const result = HostSshChange.safeParse({ keys });
      if (!result.success) return;
      const lines = authorizedKeys(result.data.keys).split("\n").slice(0, -1);
      assertEquals(lines.length, keys.length);
      for (const line of lines) {
        assertMatch(
          line,
          /^no-port-forwarding,no-agent-forwarding,no-X11-forwarding (ssh|ecdsa|sk)-\S+ [\x20-\x7e]+$/,
        );
      }
    }),
    { numRuns: 300 },
  );
});
