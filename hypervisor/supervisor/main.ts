/**
 * The supervisor's program: `main.ts --data DIR --run DIR --vmm FILE`.
 *
 * @module
 */
import { join } from "@std/path";
import { serveSocket } from "./http/listen.ts";
import { messageOf, stderrLog as log } from "./log.ts";
import { BridgedTaps } from "./network.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { importSeeds } from "./seeds.ts";
import { Supervisor } from "./supervisor.ts";
import { vmmCommand } from "./vmm_command.ts";

/** Streams get this long to end before the process does. */
const CLOSE_MS = 2_000;

function readOptions(): Options {
  try {
    return parseOptions(Deno.args);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    Deno.exit(2);
  }
}

async function main() {
  const options = readOptions();
  // Nothing that is made from here on is for other users.
  Deno.umask(0o077);
  const supervisor = new Supervisor({
    data: options.data,
    run: options.run,
    command: vmmCommand(options.vmm),
    network: new BridgedTaps({ bridge: options.bridge }),
    log,
    poolSize: options.pool,
    peers: options.peers,
    hostSocket: options.hostSocket,
    pstore: options.pstore,
    stores: options.stores,
    access: options.passwordFile === null ? {} : { passwordFile: options.passwordFile },
  });
  Deno.chmodSync(options.run, 0o711);
  await supervisor.prepare();
  const servers = [
    serveSocket(supervisor, { path: join(options.run, "supervisor.sock"), door: "local" }),
    serveSocket(supervisor, {
      path: join(options.run, "console", "api.sock"),
      door: "console",
      uid: options.consoleUid ?? undefined,
    }),
  ];
  await supervisor.meetOthers();
  log("info", "ready", { data: options.data, setupNeeded: supervisor.access.setupNeeded });

  const stop = async () => {
    log("info", "stopping; guests run on");
    setTimeout(() => Deno.exit(0), CLOSE_MS);
    supervisor.close();
    await Promise.allSettled([
      ...servers.map((server) => server.shutdown()),
      supervisor.tasks.settled(),
    ]);
    Deno.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => void stop());
  }

  if (options.import !== null) await importSeeds(supervisor, options.import);
  await supervisor.guests.autostart();
}

try {
  await main();
} catch (error) {
  log("error", "cannot run", { error: messageOf(error) });
  Deno.exit(1);
}
