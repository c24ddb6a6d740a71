/**
 * The unix sockets on which a guest's devices wait for programs of the host.
 *
 * @module
 */
import type { VsockOptions } from "../devices/virtio/vsock.ts";
import type { ConsoleOptions } from "../devices/virtio/console.ts";
import { close } from "../sys/files.ts";
import { openVhostVsock } from "../sys/vhost_vsock.ts";
import { connectUnix, listenUnix } from "../sys/unix_sockets.ts";
import { GUEST_AGENT_PORT } from "./config/sockets.ts";
import type { GuestConfig, VsockConfig } from "./control.ts";
import type { DeviceSpec } from "./device_specs.ts";
import type { Held, HeldDevice } from "./upgrade/held.ts";

const CONSOLE = "console0";
const VSOCK = "vsock0";

/** The devices whose other ends are sockets, as far as they are configured. */
export function socketDevices(config: GuestConfig, held?: Held): DeviceSpec[] {
  const { vsock } = config;
  const console = openConsole(config, held?.get(CONSOLE));
  return [
    ...(console ? [{ kind: "console", options: console } as const] : []),
    ...(vsock ? [{ kind: "vsock", options: openVsock(vsock, held) } as const] : []),
  ];
}

function openVsock({ cid = 3, backend, socket }: VsockConfig, held?: Held): VsockOptions {
  const name = VSOCK;
  if (backend === "vhost") {
    // The VMM that hands the guest over has the address until the guest stands still.
    return { name, cid, vhost: openVhostVsock(held === undefined ? cid : undefined) };
  }
  const listener = held?.get(name)?.fds[0];
  return { name, cid, path: socket!, listener: listener ?? listenForHost(socket!) };
}

/** The console device's options; undefined where nothing is configured that needs one. */
function openConsole(
  { console, ports = [] }: GuestConfig,
  held?: HeldDevice,
): ConsoleOptions | undefined {
  if (console === undefined && ports.length === 0) return undefined;
  const { columns = 80, rows = 25 } = console ?? {};
  // As `heldBy` has them: the console's first.
  const listeners = held?.fds.slice();
  const listen = (socket: string) => listeners?.shift() ?? listenForHost(socket);
  return {
    name: CONSOLE,
    console: console && { columns, rows, listener: listen(console.socket) },
    ports: ports.map(({ name = GUEST_AGENT_PORT, socket }) => ({
      name,
      listener: listen(socket),
    })),
  };
}

/** Listens at `path`, also where a VMM that was killed left its socket. */
export function listenForHost(path: string): number {
  if (isDeadSocket(path)) Deno.removeSync(path);
  // Whoever may connect may talk to the guest's programs.
  const umask = Deno.umask(0o177);
  try {
    return listenUnix(path);
  } finally {
    Deno.umask(umask);
  }
}

function isDeadSocket(path: string): boolean {
  try {
    if (!Deno.lstatSync(path).isSocket) return false;
  } catch {
    return false;
  }
  try {
    close(connectUnix(path));
    return false;
  } catch (error) {
    return (error as { errno?: number }).errno === ECONNREFUSED;
  }
}

const ECONNREFUSED = 111;
