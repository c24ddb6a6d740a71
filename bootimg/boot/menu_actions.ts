/**
 * What the menu on the host's screen does.
 *
 * @module
 */
import type { PowerCommand } from "../../hypervisor/sys/reboot.ts";
import type { HostNetwork } from "../network/host_network.ts";
import type { Effect, View } from "../screen/menu.ts";
import type { HostUpdates } from "../updating/host_updates.ts";
import { runTool, spawn } from "./children.ts";
import { markErase } from "./factory_reset.ts";
import { log } from "./log.ts";

export interface MenuActionsOptions {
  network: () => HostNetwork | null;
  /** The supervisor's local socket. */
  socket: string;
  /** Where the data partition is mounted; null where there is none. */
  data: () => string | null;
  updates: () => HostUpdates | null;
  end: (command: PowerCommand) => void;
}

const RESET_MS = 20_000;
/** The virtual terminal of the shell: the first is the screen's. */
const SHELL_TERMINAL = "2";

/** Does what is chosen, one thing after the other. */
export class MenuActions {
  readonly #options: MenuActionsOptions;
  #shell: Deno.ChildProcess | null = null;

  constructor(options: MenuActionsOptions) {
    this.#options = options;
  }

  /** Returns what is to be shown then; throws why it cannot be done. */
  async act(effect: Effect): Promise<View> {
    log(`at the host's screen: ${effect.do}`);
    switch (effect.do) {
      case "tryNetwork":
        this.#network.try(effect.network);
        return { kind: "trial", error: null };
      case "keepNetwork":
        this.#network.confirm();
        return { kind: "host" };
      case "undoNetwork":
        this.#network.undo();
        return { kind: "host" };
      case "resetPassword":
        await this.#resetPassword();
        return {
          kind: "notice",
          text: "The password is forgotten. The host's page shows a set-up code now.",
        };
      case "undoUpdate":
        await this.#updates.undo();
        this.#options.end("reboot");
        return { kind: "host" };
      case "allowUpdate":
        this.#updates.permission.give();
        return {
          kind: "notice",
          text:
            "One update may be older or not signed, for half an hour. Upload it in the console.",
        };
      case "power":
        this.#options.end(effect.command);
        return { kind: "host" };
      case "erase":
        this.#erase();
        return { kind: "host" };
      case "shell":
        await this.#openShell();
        return { kind: "host" };
    }
  }

  get #network(): HostNetwork {
    const network = this.#options.network();
    if (network === null) throw new Error("Cannot change the network: it is not up");
    return network;
  }

  get #updates(): HostUpdates {
    const updates = this.#options.updates();
    if (updates === null) throw new Error("Cannot look at the systems yet: the host is starting");
    return updates;
  }

  async #resetPassword(): Promise<void> {
    const { socket } = this.#options;
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
    const init: RequestInit & { client: Deno.HttpClient } = {
      ...{ client, method: "DELETE", signal: AbortSignal.timeout(RESET_MS) },
    };
    const response = await fetch("http://supervisor/api/v1/setup", init);
    await response.body?.cancel();
    if (!response.ok) {
      throw new Error(`Cannot reset the password: the supervisor answered ${response.status}`);
    }
  }

  #erase(): void {
    const data = this.#options.data();
    if (data === null) {
      throw new Error("Nothing is kept on a disk: whatever there is ends with a restart");
    }
    markErase(data);
    this.#options.end("reboot");
  }

  /** Opens it on a terminal of its own, and comes back to this one when it ends. */
  async #openShell(): Promise<void> {
    if (this.#shell !== null) return await runTool("/bin/busybox", ["chvt", SHELL_TERMINAL]);
    const shell = this.#shell = spawn("/bin/busybox", {
      args: ["openvt", "-c", SHELL_TERMINAL, "-s", "-w", "/bin/busybox", "sh"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      cwd: "/",
      clearEnv: true,
      env: {
        PATH: "/bin:/sbin",
        HOME: "/tmp",
        TERM: "linux",
        DENO_DIR: "/tmp/deno",
        PS1: "\\h:\\w# ",
      },
    });
    void shell.status.catch(() => {}).finally(() => {
      this.#shell = null;
      log("the shell at the host's screen has ended");
    });
  }
}
