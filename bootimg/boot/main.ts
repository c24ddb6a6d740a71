/**
 * PID 1 of the appliance. An uncaught error here is a kernel panic, so every step is tried by itself
 * and what fails is shown on the screen while the rest goes on.
 *
 * @module
 */
import { power, type PowerCommand } from "../../hypervisor/sys/reboot.ts";
import { UNUSED_SETTINGS } from "../../hypervisor/supervisor/api/host_settings.ts";
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { STATE_NAME } from "../disk/names.ts";
import type { HostNetwork } from "../network/host_network.ts";
import { commandOf, CONSOLE_UID, HOST_SOCKET, parseServices, PASSWORD_FILE } from "../services.ts";
import { KeptSettings } from "../settings/kept.ts";
import { reapOrphans } from "./children.ts";
import { Coldplug, kvmModule } from "./coldplug.ts";
import { dhcpService } from "./dhcp.ts";
import { bootPartitionId } from "./efi.ts";
import { bootDisk, type Disk, mountData } from "./data.ts";
import { mountFirst } from "./first_mounts.ts";
import { attempt, log, logTo, reason } from "./log.ts";
import { LinuxGround, startNetwork, wakeCards } from "./network.ts";
import { watchPower } from "./power_button.ts";
import { rankAddresses } from "./screen.ts";
import { mountSeed } from "./seed.ts";
import { Service } from "./service.ts";
import { shutDown } from "./shutdown.ts";
import { StatusBoard } from "./status.ts";
import { exists, read } from "./sysfs.ts";
import { timeService } from "./time.ts";
import { beginTrial, type Trial } from "./trial.ts";
import { WATCHDOG } from "./watchdog.ts";
import { within } from "./within.ts";

const RUN = "/run/denovisor";
const DATA = "/data";
const SEED = `${RUN}/seed`;
const TLS = `${DATA}/console`;

/** Asked for by us, not by a device. */
const DATA_MODULES = ["crc32c_intel", "crc32c_generic", "xfs"];
const SEED_MODULES = ["vfat", "nls_cp437", "nls_ascii", "nls_utf8"];
const GUEST_MODULES = ["tun", "vhost_net"];

const CONSOLE_PORT = 443;

/** How long services wait for bridges. Making them takes far less, whether cards have cables or not. */
const NETWORK_MS = 10_000;

const services: Service[] = [];
const kept = new KeptSettings(`${DATA}/host/settings.json`);
let network: HostNetwork | null = null;
/** Set once the host is ending; aborted by who does not want to wait for guests. */
let hurry: AbortController | null = null;

function boot(): void {
  const mountProblems = mountFirst();
  logTo("/dev/kmsg");
  if (read("/proc/cmdline")?.split(/\s+/).includes("denovisor.debug")) logTo("/dev/ttyS0");
  log(`PID 1 runs ${uptime()}`);
  mountProblems.forEach((it) => log(it, "error"));

  for (const folder of [RUN, SEED, `${RUN}/cache`, DATA]) {
    Deno.mkdirSync(folder, { recursive: true });
  }
  const board = new StatusBoard({
    version: read("/app/version") ?? "of unknown version",
    setupCode: `${RUN}/setup_code`,
    certificate: `${TLS}/cert.pem`,
    bridges: () => network?.bridges ?? [],
  });
  board.stage("starting");
  reapOrphans();
  start(board).catch((error) => {
    log(reason(error), "error");
    board.problem("start", reason(error));
  });
}

async function start(board: StatusBoard): Promise<void> {
  const coldplug = await Coldplug.open("/lib/modules");
  coldplug.start();
  watchPower(coldplug, (command) => end(command, board));

  wakeCards(coldplug);
  board.stage("looking for the data partition");
  const seedReady = coldplug.loadAll(SEED_MODULES);
  const guestsReady = Promise.all([coldplug.loadAll(GUEST_MODULES), loadKvm(coldplug, board)]);
  const proof = await attempt(
    "No data partition",
    async () => {
      await coldplug.loadAll(["efivarfs", ...DATA_MODULES]);
      if (hurry !== null) return null;
      const bootId = bootPartitionId();
      const boot = await bootDisk(coldplug, bootId);
      const trial = await attempt(
        "Cannot read which systems there are",
        () => tryOut(boot, { bootId, board, coldplug }),
      );
      await mountData(coldplug, { target: DATA, boot });
      return trial;
    },
    (why) => board.problem("data", `${why}. Guests are kept in memory and lost at power-off`),
  );
  await seedReady;
  const seed = await attempt("Cannot look for settings and guests", () => mountSeed(SEED));
  if (seed?.problem) board.problem("settings file", seed.problem);
  await takeSettings(seed?.settings ?? null, board);
  const networkReady = attempt("Cannot bring the network up", async () => {
    network = await bringUpNetwork(coldplug, board);
    board.refresh();
  }, (why) => board.problem("network", why));
  networkReady.then(() => {
    if (network === null) return;
    attempt("Cannot set the clock", () => keepTime(board), (why) => board.problem("time", why));
  });
  makeConsoleFolders();
  await guestsReady;
  // Guests that start with the supervisor are put into bridges, and without one into none.
  if (!await within(networkReady, NETWORK_MS)) {
    log(`the network is not up after ${NETWORK_MS / 1000} s; services start without`, "warning");
  }
  if (hurry !== null) return;

  const specs = parseServices(await Deno.readTextFile("/app/services.json"));
  for (const spec of specs) {
    const cache = `${RUN}/cache/${spec.name}`;
    Deno.mkdirSync(cache, { recursive: true });
    if (spec.uid !== undefined) Deno.chownSync(cache, spec.uid, spec.uid);
    startService({
      name: spec.name,
      command: commandOf(spec, { importFolder: seed?.importFolder ?? null }),
      uid: spec.uid,
      env: {
        PATH: "/bin:/sbin",
        HOME: cache,
        DENO_DIR: cache,
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        TZ: kept.settings.timezone ?? "UTC",
        ...spec.env,
      },
    }, board);
  }
  board.watch();
  board.stage("starting the console");
  await untilConsoleAnswers();
  // Unless the host is ending already.
  if (hurry === null) board.stage(null);
  log(`the console answers ${uptime()}`);
  // There is no proof without the data partition: the system of before may have the driver for it.
  await attempt("Cannot keep this system", () => proof?.passed());
}

/** Finds out whether this system runs for the first time, and tells of one that did not come up. */
async function tryOut(
  boot: Disk | undefined,
  options: { bootId: string | null; board: StatusBoard; coldplug: Coldplug },
): Promise<Trial | null> {
  const { bootId, board, coldplug } = options;
  if (!boot?.table.partitions.some((it) => it.name === STATE_NAME)) return null;
  const disk = { path: boot.device.path, sectors: boot.device.sectors };
  const { standing, trial } = await beginTrial({ disk, table: boot.table }, {
    bootId,
    actions: { restart: () => end("reboot", board), restartNow: () => power("reboot") },
  });
  if (standing.failed !== null) {
    const slot = standing.failed.toUpperCase();
    board.problem("update", `the update in slot ${slot} was tried and did not come up`);
  }
  if (trial) {
    coldplug.listen(({ env }) => env.DEVNAME === "watchdog" && trial.watchBy(WATCHDOG));
    if (exists(WATCHDOG)) trial.watchBy(WATCHDOG);
  }
  return trial;
}

/** Takes up the host's settings: what cannot be used of them is shown, and the rest goes on. */
async function takeSettings(file: string | null, board: StatusBoard): Promise<void> {
  await attempt("Cannot take up the settings", async () => {
    const problems = await kept.begin(file);
    problems.forEach((problem, i) => board.problem(`settings ${i}`, problem));
    for (const name of UNUSED_SETTINGS) {
      if (name in kept.settings) log(`the setting ${name} is kept, and not used yet`, "warning");
    }
    const { hostname, password } = kept.settings;
    if (hostname) Deno.writeTextFileSync("/proc/sys/kernel/hostname", hostname);
    if (password) Deno.writeTextFileSync(PASSWORD_FILE, password, { mode: 0o600 });
  }, (why) => board.problem("settings", why));
}

function bringUpNetwork(coldplug: Coldplug, board: StatusBoard): Promise<HostNetwork> {
  const ground = new LinuxGround({
    coldplug,
    startDhcp(client) {
      const hostname = kept.settings.hostname ?? "denovisor";
      const service = startService(dhcpService(client, { hostname }), board);
      return async () => {
        if (!service) return;
        await service.stop();
        services.splice(services.indexOf(service), 1);
        board.problem(service.config.name, null);
      };
    },
  });
  return startNetwork(coldplug, {
    ground,
    socket: HOST_SOCKET,
    network: kept.settings.network ?? Network.parse({}),
    keep: (network) => kept.change({ network }),
    onProblem: (problem) => board.problem("network", problem),
    onChange: () => board.refresh(),
  });
}

/** Sets the clock once there is a network to ask on. */
async function keepTime(board: StatusBoard): Promise<void> {
  const { ntp: servers = [] } = kept.settings;
  if (servers.length === 0) return;
  while (rankAddresses(Deno.networkInterfaces(), network?.bridges ?? []).length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  startService(timeService(servers), board);
}

/** What is shown as the console's address should be one that answers. */
async function untilConsoleAnswers(): Promise<void> {
  while (true) {
    try {
      (await Deno.connect({ port: CONSOLE_PORT })).close();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

function startService(config: Service["config"], board: StatusBoard): Service | undefined {
  // Who presses the power button during the start wants nothing started any more.
  if (hurry !== null) return undefined;
  const service = new Service(config, (trouble) => board.problem(config.name, trouble));
  services.push(service);
  service.start();
  return service;
}

async function loadKvm(coldplug: Coldplug, board: StatusBoard): Promise<void> {
  const module = kvmModule(read("/proc/cpuinfo") ?? "");
  if (module === null) {
    board.problem(
      "kvm",
      "this processor shows no virtualization (Intel VT-x or AMD-V): no guest can run; switch it on in the firmware's set-up",
    );
  } else if (!await coldplug.load(module)) {
    board.problem(
      "kvm",
      `${module} cannot be loaded: no guest can run; the firmware may forbid it`,
    );
  }
}

/** The console's folders belong to its user; the socket in the first is the supervisor's to make. */
function makeConsoleFolders(): void {
  for (const folder of [`${RUN}/console`, TLS]) {
    attempt(`Cannot make "${folder}"`, () => {
      Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
      Deno.chownSync(folder, CONSOLE_UID, CONSOLE_UID);
    });
  }
}

function end(command: PowerCommand, board: StatusBoard): void {
  if (hurry !== null) return hurry.abort();
  hurry = new AbortController();
  attempt("Cannot end the host", () =>
    shutDown({
      command,
      socket: `${RUN}/supervisor.sock`,
      services,
      mounts: [SEED, DATA],
      hurry: hurry!.signal,
      onStage: (stage) => board.stage(stage),
      drawn: () => board.drawn,
    }));
}

function uptime(): string {
  return `${read("/proc/uptime")?.split(" ")[0]} s after the kernel's start`;
}

// What nobody awaited must not end PID 1 either.
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  log(`unhandled: ${reason(event.reason)}`, "error");
});
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  log(`uncaught: ${reason(event.error)}`, "error");
});
// Pending timers are what keeps the runtime alive.
setInterval(() => {}, 1 << 30);
boot();
