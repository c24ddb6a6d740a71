/**
 * PID 1 of the appliance. An uncaught error here is a kernel panic, so every step is tried by itself
 * and what fails is shown on the screen while the rest goes on.
 *
 * @module
 */
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID } from "../../hypervisor/sys/mounts.ts";
import { type PowerCommand } from "../../hypervisor/sys/reboot.ts";
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { HostSettings } from "../../hypervisor/supervisor/api/host_settings.ts";
import { dirname } from "../../hypervisor/supervisor/durable.ts";
import { HostSocket } from "../host_socket.ts";
import type { Journal } from "../log/journal.ts";
import { logRoutes } from "../log/serve.ts";
import type { HostNetwork } from "../network/host_network.ts";
import { commandOf, HOST_SOCKET, parseServices, PASSWORD_FILE, PSTORE } from "../services.ts";
import type { MenuContext } from "../screen/menu.ts";
import { KeptSettings } from "../settings/kept.ts";
import type { OpenPool } from "../storage/pool.ts";
import { storageRoutes } from "../storage/serve.ts";
import { withoutSecrets } from "../settings/without_secrets.ts";
import { reapOrphans } from "./children.ts";
import { Coldplug } from "./coldplug.ts";
import { makeConsoleFolders, untilConsoleAnswers } from "./console_start.ts";
import { dhcpService } from "./dhcp.ts";
import { bootPartitionId } from "./efi.ts";
import { surviveSignals } from "./ending_signals.ts";
import { FeedingRule } from "./feeding_rule.ts";
import { bootDisk, mountData } from "./data.ts";
import { LinuxDisks } from "./disks.ts";
import { eraseIfMarked } from "./factory_reset.ts";
import { mountFirst } from "./first_mounts.ts";
import { HostScreen } from "./host_screen.ts";
import { hasWord, uptime, uptimeSeconds } from "./kernel_start.ts";
import { loadKvm } from "./kvm.ts";
import { attempt, book, followKernel, log, logTo, reason } from "./log.ts";
import { keepLog, sendLog } from "./log_keeping.ts";
import { MenuActions } from "./menu_actions.ts";
import { LinuxGround, startNetwork, wakeCards } from "./network.ts";
import { watchPower } from "./power_button.ts";
import { restartRoute } from "./restart_route.ts";
import { rankAddresses } from "./screen.ts";
import { mountSeed } from "./seed.ts";
import { Service } from "./service.ts";
import { shutDown } from "./shutdown.ts";
import { startSsh } from "./ssh.ts";
import { StatusBoard } from "./status.ts";
import { readWishes, startStorage } from "./storage.ts";
import { watchSupervisor } from "./supervisor_watch.ts";
import { read } from "./sysfs.ts";
import { openTerminal } from "./terminal.ts";
import { limitService, limitTasks } from "./task_limits.ts";
import { timeService } from "./time.ts";
import { Updates } from "./updates.ts";
import { guardHost } from "./watchdog.ts";
import { within } from "./within.ts";

const RUN = "/run/denovisor";
const DATA = "/data";
const SEED = `${RUN}/seed`;
const TLS = `${DATA}/console`;

/** Asked for by us, not by a device. */
const DATA_MODULES = ["crc32c_intel", "crc32c_generic", "xfs", "raid1"];
const SEED_MODULES = ["vfat", "nls_cp437", "nls_ascii", "nls_utf8"];
const GUEST_MODULES = ["tun", "vhost_net"];
/** A server's error memory needs none. */
const CRASH_MODULES = ["efi_pstore"];

const CONSOLE_PORT = 443;

/** How long services wait for bridges. Making them takes far less, whether cards have cables or not. */
const NETWORK_MS = 10_000;

const services: Service[] = [];
const SETTINGS = `${DATA}/host/settings.json`;
const SSH_KEY = `${DATA}/host/ssh/ed25519`;
const kept = new KeptSettings(SETTINGS);
let network: HostNetwork | null = null;
let journal: Journal | null = null;
/** Whether what is written below /data outlives a restart. */
let isKept = false;
/** Whether the settings are read that say what may be done at the screen. */
let hasSettings = false;
/** Set once the host is ending; aborted by who does not want to wait for guests. */
let hurry: AbortController | null = null;
const feeding = new FeedingRule();
let updates: Updates | null = null;

function boot(): void {
  surviveSignals();
  const mountProblems = mountFirst();
  logTo("/dev/kmsg");
  if (hasWord("denovisor.debug")) logTo("/dev/ttyS0");
  log(`PID 1 runs ${uptime()}`);
  mountProblems.forEach((it) => log(it, "error"));
  void attempt("Cannot limit tasks", limitTasks);

  for (const folder of [RUN, SEED, `${RUN}/cache`, DATA]) {
    Deno.mkdirSync(folder, { recursive: true });
  }
  const version = read("/app/version") ?? "of unknown version";
  const board = new StatusBoard({
    version,
    setupCode: `${RUN}/setup_code`,
    certificate: `${TLS}/cert.pem`,
    bridges: () => network?.bridges ?? [],
    hint: () => menuContext().menu === "none" ? null : "Enter: menu",
  });
  board.stage("starting");
  updates = new Updates({ version, board, restart: () => end("reboot", board) });
  attempt("Cannot use the display", () => board.showOn(openDisplay(board)));
  reapOrphans();
  start(board).catch((error) => {
    log(reason(error), "error");
    board.problem("start", reason(error));
  });
}

async function start(board: StatusBoard): Promise<void> {
  void attempt("Cannot read the kernel's log", () => followKernel(uptimeSeconds()));
  const coldplug = await Coldplug.open("/lib/modules");
  coldplug.start();
  watchPower(coldplug, (command) => end(command, board));
  if (!hasWord("denovisor.nowatchdog")) {
    void attempt("Cannot use a watchdog", () => guardHost(coldplug, feeding));
  }

  wakeCards(coldplug);
  board.stage("looking for the data partition");
  const seedReady = coldplug.loadAll(SEED_MODULES);
  const guestsReady = Promise.all([coldplug.loadAll(GUEST_MODULES), loadKvm(coldplug, board)]);
  const disks = new LinuxDisks({
    until: (...asked) => coldplug.until(...asked),
    scratch: `${RUN}/scratch`,
  });
  let pool: OpenPool | null = null;
  let bootId: string | null = null;
  await attempt(
    "No data partition",
    async () => {
      await coldplug.loadAll(["efivarfs", ...DATA_MODULES]);
      if (hurry !== null) return;
      bootId = bootPartitionId();
      const boot = await bootDisk(coldplug, bootId);
      await attempt("Cannot read which systems there are", () => updates?.look(boot, bootId));
      pool = await mountData({
        ...{ coldplug, disks, target: DATA, boot },
        async wishes() {
          await seedReady;
          return await readWishes(SEED);
        },
        onStage: (stage) => board.stage(stage),
      });
    },
    (why) => board.problem("data", `${why}. Guests are kept in memory and lost at power-off`),
  );
  // In memory alone, files would only take room from guests.
  if (pool !== null) {
    isKept = true;
    updates?.stays();
    await attempt("Cannot delete all that is kept", async () => {
      if (await eraseIfMarked(DATA)) log("deleted all that was kept, as asked", "warning");
    }, (why) => board.problem("factory reset", `The reset goes on at the next start: ${why}`));
    await attempt("Cannot keep the log", async () => {
      journal = await keepLog(`${DATA}/host/journal`);
    }, (why) => board.problem("log", `The log is not kept: ${why}`));
  }
  await seedReady;
  const seed = await attempt("Cannot look for settings and guests", () => mountSeed(SEED));
  if (seed?.problem) board.problem("settings file", seed.problem);
  await takeSettings(seed?.settings ?? null, board);
  const socket = await attempt(
    "Cannot let the host be changed",
    () => new HostSocket(HOST_SOCKET),
  );
  const restart = () => end("reboot", board);
  socket?.add(restartRoute({ isEnding: () => hurry !== null, restart }));
  socket?.add(logRoutes(book));
  socket?.add({ "GET /support": () => Response.json(support(board)) });
  await attempt("Cannot look after the storage", async () => {
    const parts = { coldplug, disks, pool, bootId, kept, board };
    const storage = startStorage({ ...parts, data: DATA, settings: SETTINGS });
    socket?.add(storageRoutes(storage));
    const folder = isKept ? dirname(SETTINGS) : null;
    await updates?.begin({ ground: disks, storage, folder, settings: SETTINGS, socket });
  }, (why) => board.problem("storage", why));
  void attempt(
    "Cannot offer SSH",
    () => startSsh({ hostKey: SSH_KEY, kept, board, socket, start: (it) => runFor(it, board) }),
    (why) => board.problem("ssh keys", `Cannot offer SSH: ${why}`),
  );
  hasSettings = true;
  const networkReady = attempt("Cannot bring the network up", async () => {
    network = await bringUpNetwork(coldplug, { board, socket });
    board.refresh();
  }, (why) => board.problem("network", why));
  networkReady.then(() => {
    if (network === null) return;
    attempt("Cannot send the log", () => {
      sendLog(kept.settings.syslog, (trouble) => board.problem("syslog", trouble));
    });
    attempt("Cannot set the clock", () => keepTime(board), (why) => board.problem("time", why));
  });
  makeConsoleFolders([`${RUN}/console`, TLS]);
  await attempt("Cannot look for the kernel's crashes", () => showCrashes(coldplug));
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
      speaksFor: spec.speaksFor,
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
  const supervisor = services.find(({ config }) => config.name === "supervisor");
  if (supervisor !== undefined) lookAfter(supervisor, board);
  board.watch();
  board.stage("starting the console");
  await untilConsoleAnswers(CONSOLE_PORT);
  // Unless the host is ending already.
  if (hurry === null) board.stage(null);
  log(`the console answers ${uptime()}`);
  updates?.shows("console");
}

/** The display with its menu; null on a machine without. */
function openDisplay(board: StatusBoard): HostScreen | null {
  const terminal = openTerminal("/dev/tty1");
  if (terminal === null) return null;
  const actions = new MenuActions({
    ...{ network: () => network, socket: `${RUN}/supervisor.sock` },
    data: () => isKept ? DATA : null,
    updates: () => updates?.host ?? null,
    end: (command) => end(command, board),
  });
  return new HostScreen({ terminal, context: menuContext, act: (effect) => actions.act(effect) });
}

function menuContext(): MenuContext {
  const { menu, shell } = kept.settings.screen ?? HostSettings.shape.screen.parse({});
  const told = network?.tell() ?? null;
  return {
    // Nothing is to be chosen before the settings say what, and while the host ends.
    menu: hasSettings && hurry === null ? menu : "none",
    ...{ shell, hostname: Deno.hostname(), network: told?.network ?? null },
    trialSeconds: told?.trial?.secondsLeft ?? null,
    whyNoUndo: updates === null ? "the host is starting" : updates.whyNoUndo,
  };
}

/** What may be known of this host by who helps from afar: no secrets. */
function support(board: StatusBoard): unknown {
  return { settings: withoutSecrets(kept.settings), problems: board.problems };
}

/** Takes up the host's settings: what cannot be used of them is shown, and the rest goes on. */
async function takeSettings(file: string | null, board: StatusBoard): Promise<void> {
  await attempt("Cannot take up the settings", async () => {
    const problems = await kept.begin(file, isKept ? updates?.key : undefined);
    problems.forEach((problem, i) => board.problem(`settings ${i}`, problem));
    const { hostname, password } = kept.settings;
    if (hostname) Deno.writeTextFileSync("/proc/sys/kernel/hostname", hostname);
    if (password) Deno.writeTextFileSync(PASSWORD_FILE, password, { mode: 0o600 });
  }, (why) => board.problem("settings", why));
}

function bringUpNetwork(
  coldplug: Coldplug,
  { board, socket }: { board: StatusBoard; socket: HostSocket | undefined },
): Promise<HostNetwork> {
  const ground = new LinuxGround({
    coldplug,
    startDhcp(client) {
      const hostname = kept.settings.hostname ?? "denovisor";
      return runFor(dhcpService(client, { hostname }), board);
    },
  });
  return startNetwork(coldplug, {
    ground,
    socket,
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

/** Has the supervisor's state on the screen, and one that hangs started again. */
function lookAfter(supervisor: Service, board: StatusBoard): void {
  const stop = watchSupervisor({
    socket: `${RUN}/supervisor.sock`,
    service: supervisor,
    onHealth(health) {
      if (hurry !== null) return stop();
      if (health !== null) feeding.answered(performance.now());
      board.health(health);
      updates?.health(health);
    },
  });
}

/** Has a process run until what it returns is called. */
function runFor(config: Service["config"], board: StatusBoard): () => Promise<void> {
  const service = startService(config, board);
  return async () => {
    if (!service) return;
    await service.stop();
    services.splice(services.indexOf(service), 1);
    board.problem(service.config.name, null);
  };
}

function startService(config: Service["config"], board: StatusBoard): Service | undefined {
  // Who presses the power button during the start wants nothing started any more.
  if (hurry !== null) return undefined;
  const limited = { ...config, onStart: limitService };
  const service = new Service(limited, (trouble) => board.problem(config.name, trouble));
  services.push(service);
  service.start();
  return service;
}

function end(command: PowerCommand, board: StatusBoard): void {
  if (hurry !== null) return hurry.abort();
  hurry = new AbortController();
  feeding.ending(performance.now());
  attempt("Cannot end the host", () =>
    shutDown({
      command,
      socket: `${RUN}/supervisor.sock`,
      isKept,
      services,
      closeLog: async () => await journal?.close(),
      mounts: [SEED, DATA],
      hurry: hurry!.signal,
      onStage: (stage) => board.stage(stage),
      drawn: () => board.drawn,
    }));
}

/** What the kernel kept of its last crash is for the supervisor to take. */
async function showCrashes(coldplug: Coldplug): Promise<void> {
  await coldplug.loadAll(CRASH_MODULES);
  Deno.mkdirSync(PSTORE, { recursive: true });
  mount("pstore", PSTORE, { flags: MS_NOSUID | MS_NODEV | MS_NOEXEC });
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
