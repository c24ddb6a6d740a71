/**
 * What the host's SSH stands on: Debian's small server, a folder for its key, and its processes.
 *
 * @module
 */
import { dirname, exists } from "../../hypervisor/supervisor/durable.ts";
import type { HostSocket } from "../host_socket.ts";
import type { KeptSettings } from "../settings/kept.ts";
import { publicKeyIn } from "../ssh/authorized_keys.ts";
import { HostSsh, type SshGround } from "../ssh/host_ssh.ts";
import { sshRoutes } from "../ssh/serve.ts";
import { readTool } from "./children.ts";
import { log } from "./log.ts";
import type { Service } from "./service.ts";
import type { StatusBoard } from "./status.ts";
import { names, read } from "./sysfs.ts";

const SERVER = "/usr/sbin/dropbear";
const PORT = 22;
/** The folder of the file of who may log in. */
const FOLDER = "/run/denovisor/ssh";
const PID_FILE = "/run/denovisor/ssh.pid";
const KEY_MS = 30_000;
/** Seconds after which a connection is asked whether it is still there. */
const KEEPALIVE = 60;

export interface SshOptions {
  /** Where the host's own key is kept. */
  hostKey: string;
  kept: KeptSettings;
  board: StatusBoard;
  socket?: HostSocket;
  /** Has a process run; returns how it is stopped. */
  start: (config: Service["config"]) => () => Promise<void>;
}

/** Offers SSH from now on, whenever there are keys; the supervisor changes them by the socket. */
export async function startSsh(options: SshOptions): Promise<void> {
  const { kept, board, socket } = options;
  const ssh = new HostSsh({
    ground: new LinuxSsh(options),
    keep: (sshKeys) => kept.change({ sshKeys }),
    ...{ log, onProblem: (problem) => board.problem("ssh keys", problem) },
  });
  socket?.add(sshRoutes(ssh));
  await ssh.begin(kept.settings.sshKeys ?? []);
}

class LinuxSsh implements SshGround {
  readonly #options: SshOptions;

  constructor(options: SshOptions) {
    this.#options = options;
  }

  writeKeys(text: string): void {
    Deno.mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
    const path = `${FOLDER}/authorized_keys`;
    Deno.writeTextFileSync(`${path}.new`, text, { mode: 0o600 });
    Deno.renameSync(`${path}.new`, path);
  }

  async hostKey(): Promise<string> {
    const { hostKey: path } = this.#options;
    const limit = { limitMs: KEY_MS };
    if (!exists(path)) {
      Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      // A cut leaves none or the whole one.
      await Deno.remove(`${path}.new`).catch(() => {});
      await readTool("/usr/bin/dropbearkey", ["-t", "ed25519", "-f", `${path}.new`], limit);
      {
        using file = await Deno.open(`${path}.new`);
        await file.sync();
      }
      await Deno.rename(`${path}.new`, path);
      // It leaves the public half beside.
      await Deno.remove(`${path}.new.pub`).catch(() => {});
    }
    return publicKeyIn(await readTool("/usr/bin/dropbearkey", ["-y", "-f", path], limit));
  }

  start(): () => Promise<void> {
    return this.#options.start(sshService(this.#options.hostKey));
  }

  endSessions(): void {
    const processes = names("/proc").filter((it) => /^\d+$/.test(it)).map(Number).map(factsOf);
    const listener = Number(read(PID_FILE) ?? 0);
    for (const { pid, isServer } of sessionsOf(processes, listener)) {
      try {
        Deno.kill(pid, isServer ? "SIGTERM" : "SIGHUP");
      } catch {
        // It is gone.
      }
    }
  }
}

/** What is to be known of a process. */
export interface ProcessFacts {
  pid: number;
  parent: number;
  /** Whether it is the SSH server, of which each session is another process. */
  isServer: boolean;
}

function factsOf(pid: number): ProcessFacts {
  const parent = /^PPid:\s*(\d+)/m.exec(read(`/proc/${pid}/status`) ?? "")?.[1];
  let isServer = false;
  try {
    isServer = Deno.readLinkSync(`/proc/${pid}/exe`) === SERVER;
  } catch {
    // A thread of the kernel's, or one that is gone.
  }
  return { pid, parent: Number(parent ?? 0), isServer };
}

/** The sessions, and all that runs in them. */
export function sessionsOf(processes: readonly ProcessFacts[], listener: number): ProcessFacts[] {
  const found = processes.filter(({ pid, isServer }) => isServer && pid !== listener);
  // Grows while it is walked.
  for (const { pid } of found) {
    found.push(...processes.filter((it) => it.parent === pid && !found.includes(it)));
  }
  return found;
}

/** The server: keys alone let somebody in, nothing is forwarded, and each session is in the log. */
export function sshService(hostKey: string): Service["config"] {
  return {
    name: "ssh",
    command: [
      SERVER,
      // In the foreground, its messages to us.
      ...["-F", "-E", "-m", "-P", PID_FILE],
      // No passwords, no forwarding.
      ...["-s", "-j", "-k"],
      ...["-T", "3", "-K", String(KEEPALIVE)],
      ...["-p", String(PORT), "-r", hostKey, "-D", FOLDER],
    ],
    env: { PATH: "/bin:/sbin" },
    errorLevel: "info",
  };
}
