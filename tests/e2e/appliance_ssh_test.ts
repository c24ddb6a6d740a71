/**
 * SSH on the appliance: off, on for keys, and off again, with a real client.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { HostSsh, LogPage } from "../../hypervisor/supervisor/api/schemas.ts";
import { freePort } from "../../scripts/demo_pc/pc.ts";
import { hostPackages } from "../../scripts/setup/host_packages.ts";
import { Appliance, ApplianceDisk } from "./appliance/host.ts";

/** A line of /proc/net/tcp and tcp6 of who listens on port 22. */
const LISTENS = /^ *\d+: \S+:0016 \S+ 0A /m;

class Client implements AsyncDisposable {
  readonly #folder: string;
  readonly #port: number;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  static async make(port: number): Promise<Client> {
    await hostPackages(["openssh-client"]);
    const folder = await Deno.makeTempDir();
    for (const name of ["mine", "theirs"]) {
      const args = [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        `${name}@test`,
        "-f",
        `${folder}/${name}`,
      ];
      await new Deno.Command("ssh-keygen", { args }).output();
    }
    return new Client(folder, port);
  }

  async publicKey(name: string): Promise<string> {
    return (await Deno.readTextFile(`${this.#folder}/${name}.pub`)).trim();
  }

  async trust({ hostKey }: HostSsh): Promise<void> {
    const line = `[127.0.0.1]:${this.#port} ${hostKey!.key}\n`;
    await Deno.writeTextFile(`${this.#folder}/known`, line);
  }

  start(name: string, ...words: string[]): Deno.ChildProcess {
    const options = [
      ...["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=60"],
      ...["GlobalKnownHostsFile=/dev/null", `UserKnownHostsFile=${this.#folder}/known`],
    ];
    return new Deno.Command("ssh", {
      args: [
        ...["-F", "/dev/null", "-i", `${this.#folder}/${name}`, "-p", String(this.#port)],
        ...options.flatMap((it) => ["-o", it]),
        ...["root@127.0.0.1", ...words],
      ],
      // A terminal whose input has ended is closed at once.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  async run(name: string, ...words: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = this.start(name, ...words);
    const { code, stdout, stderr } = await child.output();
    await child.stdin.close().catch(() => {});
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    return { code, out: text(stdout), err: text(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

function setKeys(host: Appliance, keys: string[]): Promise<HostSsh> {
  return host.ask<HostSsh>("api", `PUT /host/ssh ${JSON.stringify({ keys })}`);
}

async function listens(host: Appliance): Promise<boolean> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((it) => host.ask<string>("read", it));
  return LISTENS.test((await Promise.all(tables)).join(""));
}

Deno.test("SSH is off, lets in who has a key and nobody else, and ends with the last key", async (t) => {
  await using disk = await ApplianceDisk.make({ bare: true });
  const port = freePort();
  await using client = await Client.make(port);
  await using host = await Appliance.start(disk, { forwards: [{ from: port, to: 22 }] });
  await t.step("nothing listens at first", async () => {
    const told = await host.until("the API", () => host.ask<HostSsh>("api", "GET /host/ssh"), 90);
    assertEquals(told, { isOn: false, keys: [], hostKey: null, problem: null });
    assertEquals(await listens(host), false);
  });
  await t.step("a key lets in at once, to a shell of root's", async () => {
    const told = await setKeys(host, [await client.publicKey("mine")]);
    assertEquals([told.isOn, told.problem], [true, null]);
    await host.until("the server", async () => await listens(host) || undefined);
    await client.trust(told);
    const { code, out, err } = await client.run("mine", "id -u; cat /app/version; echo $HOME");
    assertEquals(code, 0, err);
    assertMatch(out, /^0\n\d+\.\d+\.\d+\n\/$/);
    const terminal = await client.run("mine", "-tt", "tty");
    assertMatch(terminal.out, /^\/dev\/pts\/\d+$/);
  });
  await t.step("another key is refused, and no password is asked for", async () => {
    const { code, out, err } = await client.run("theirs", "id -u");
    assertEquals([code, out], [255, ""]);
    assertStringIncludes(err, "Permission denied (publickey).");
  });
  await t.step("nothing is forwarded", async () => {
    const { code, err } = await client.run("mine", "-W", "127.0.0.1:443");
    assert(code !== 0, err);
    assertMatch(err, /prohibited|refused|failed/);
  });
  await t.step("the root is root's alone to write to", async () => {
    const { mode, uid } = await host.ask<{ mode: number; uid: number }>("stat", "/");
    assertEquals([mode, uid], [0o755, 0]);
  });
  await t.step("the host's key is root's alone, and kept with the data", async () => {
    const { mode, uid } = await host.ask<{ mode: number; uid: number }>(
      "stat",
      "/data/host/ssh/ed25519",
    );
    assertEquals([mode, uid], [0o600, 0]);
  });
  await t.step("the log tells who came in, and who did not", async () => {
    await host.until("the records", async () => {
      const { records } = await host.ask<LogPage>("api", "GET /host/log?limit=500");
      const text = records.map(({ room, level, message }) => `${room} ${level} ${message}`)
        .join("\n");
      const isTold = /^ssh info .*Pubkey auth succeeded for 'root'/m.test(text) &&
        /^boot info SSH is on, for 1 key$/m.test(text);
      return isTold ? true : undefined;
    });
  });
  await t.step("without its key a session ends, and nothing listens any more", async () => {
    const session = client.start("mine", "echo in; exec sleep 10000");
    const output = session.stdout.getReader();
    const { value } = await output.read();
    assertEquals(new TextDecoder().decode(value), "in\n");
    assertEquals((await setKeys(host, [])).isOn, false);
    assertEquals((await session.status).success, false);
    output.releaseLock();
    await Promise.all([session.stdout.cancel(), session.stderr.cancel()]);
    await session.stdin.close().catch(() => {});
    assertEquals(await listens(host), false);
    const all = await host.ask<{ command: string }[]>("processes");
    assertEquals(all.filter(({ command }) => /dropbear|sleep 10000/.test(command)), []);
  });
});
