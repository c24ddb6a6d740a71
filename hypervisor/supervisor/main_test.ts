import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { denoPlugin } from "@deno/esbuild-plugin";
import * as esbuild from "esbuild";
import { yamlPlugin } from "../../scripts/setup/yaml_plugin.ts";
import { isAlive, killProcess } from "../sys/processes.ts";
import { unixApi } from "./api/unix.ts";

const ROOT = fromFileUrl(new URL("../..", import.meta.url));

/** What the supervisor needs, and no more. */
const PERMISSIONS = [
  "--allow-ffi",
  "--allow-read",
  "--allow-write",
  "--allow-sys",
  "--allow-env",
  // Deno's grants for unix sockets name each by its path, and guests' are not known beforehand.
  "--allow-net",
];

async function bundle(directory: string) {
  try {
    await esbuild.build({
      absWorkingDir: ROOT,
      entryPoints: {
        supervisor: "./hypervisor/supervisor/main.ts",
        vmm: "./hypervisor/supervisor/testing/fake_vmm.ts",
      },
      outdir: directory,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "esnext",
      logLevel: "error",
      plugins: [yamlPlugin, denoPlugin()],
    });
  } finally {
    await esbuild.stop();
  }
}

class Program {
  readonly #child: Deno.ChildProcess;
  log = "";
  readonly #read: Promise<void>;

  constructor(directory: string, args: string[] = []) {
    const child = this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-config",
        "--no-remote",
        "--no-npm",
        "--no-lock",
        ...PERMISSIONS,
        join(directory, "supervisor.js"),
        ...args,
      ],
      // Neither a cache nor a home: all there is lies in the bundle.
      env: { DENO_DIR: join(directory, "cache"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
      clearEnv: true,
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#read = (async () => {
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        this.log += text;
      }
    })();
  }

  get pid() {
    return this.#child.pid;
  }

  async ended(): Promise<Deno.CommandStatus> {
    await this.#read;
    return await this.#child.status;
  }

  async says(text: string): Promise<void> {
    let over = false;
    this.#child.status.then(() => over = true);
    while (!this.log.includes(text)) {
      if (over) throw new Error(`the supervisor ended before it said "${text}": ${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async kill(signal: Deno.Signal): Promise<Deno.CommandStatus> {
    this.#child.kill(signal);
    return await this.ended();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("the bundled program, with its permissions alone, serves, is killed, and finds its guests", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "dv-" });
  const [data, run] = [join(directory, "data"), join(directory, "run")];
  await bundle(directory);
  const seed = join(directory, "seeds", "demo");
  Deno.mkdirSync(seed, { recursive: true });
  Deno.mkdirSync(join(directory, "seeds", "broken"));
  Deno.writeTextFileSync(join(directory, "seeds", "broken", "guest.json"), "{");
  Deno.writeFileSync(join(seed, "vmlinuz"), new Uint8Array(1000));
  Deno.writeFileSync(join(seed, "disk.raw"), new Uint8Array(2048));
  const [userData, networkConfig] = ["#!/bin/sh\n", "version: 2\n"];
  Deno.writeTextFileSync(join(seed, "user-data"), userData);
  Deno.writeTextFileSync(join(seed, "network-config"), networkConfig);
  Deno.writeTextFileSync(
    join(seed, "guest.json"),
    JSON.stringify({
      name: "demo",
      memoryMiB: 128,
      nets: [],
      disks: [{ sizeMiB: 1 }],
      cloudInit: { hostname: "seeded" },
      files: {
        ...{ kernel: "vmlinuz", disk: "disk.raw" },
        ...{ userData: "user-data", networkConfig: "network-config" },
      },
    }),
  );
  const args = ["--data", data, "--run", run, "--vmm", join(directory, "vmm.js")];
  args.push("--peers", `127.0.0.1:${freePort()}`);
  const importing = [...args, "--import", join(directory, "seeds")];
  let program = new Program(directory, importing);
  try {
    await program.says("imported a guest");
    await program.says("cannot import a guest");
    assertStringIncludes(program.log, "it is not JSON");
    assertEquals(Deno.statSync(run).mode! & 0o777, 0o711);
    for (const socket of ["supervisor.sock", "console/api.sock"]) {
      assertEquals(Deno.statSync(join(run, socket)).mode! & 0o777, 0o600);
    }
    assertEquals(Deno.statSync(data).mode! & 0o777, 0o700);
    assertEquals(Deno.statSync(join(data, "identity.pem")).mode! & 0o777, 0o600);
    assert(Deno.readTextFileSync(join(run, "setup_code")).trim().length === 23);

    let running;
    {
      using api = unixApi(join(run, "supervisor.sock"));
      const [guest] = await api.client.call("listGuests", {});
      assertEquals([guest.name, guest.disks[0].sizeMiB, guest.kernel], ["demo", 1, "vmlinuz"]);
      const told = await api.client.call("getCloudInit", { params: { id: guest.id } });
      assertEquals([told.hostname, told.userData, told.networkConfig], [
        ...["seeded", userData, networkConfig],
      ]);
      running = await api.client.call("startGuest", { params: { id: guest.id } });
      assertEquals(running.state, "running");
    }
    const process = JSON.parse(
      Deno.readTextFileSync(join(run, "guests", running.id, "process.json")),
    );
    const code = Deno.readTextFileSync(join(run, "setup_code"));

    await program.kill("SIGKILL");
    assert(isAlive(process));
    program = new Program(directory, importing);
    await program.says('"ready"');
    assertStringIncludes(program.log, "found a guest's VMM");
    assertEquals(Deno.readTextFileSync(join(run, "setup_code")), code);
    {
      using api = unixApi(join(run, "supervisor.sock"));
      let guests = await api.client.call("listGuests", {});
      while (guests[0].state === "starting") guests = await api.client.call("listGuests", {});
      assertEquals(guests, [running]);
      for await (const step of api.client.lines("shutdownHost", {})) {
        if (step.done) assertEquals(step.forced, []);
      }
    }
    assertEquals(isAlive(process), false);
    assertEquals([...Deno.readDirSync(join(run, "guests"))], []);

    const second = new Program(directory, args);
    assertEquals((await second.ended()).code, 1);
    assertStringIncludes(second.log, "another supervisor runs on it");

    assertEquals((await program.kill("SIGTERM")).code, 0);
    program = new Program(directory, []);
    assertEquals((await program.ended()).code, 2);
    assertStringIncludes(program.log, "--data is missing");
  } finally {
    try {
      await program.kill("SIGKILL");
    } catch {
      // It has ended already, as it should.
    }
    for (const guest of guestsOf(run)) killProcess(guest);
    Deno.removeSync(directory, { recursive: true });
  }
});

function guestsOf(run: string) {
  try {
    return [...Deno.readDirSync(join(run, "guests"))].map(({ name }) =>
      JSON.parse(Deno.readTextFileSync(join(run, "guests", name, "process.json")))
    );
  } catch {
    return [];
  }
}
