/** Consoles, ports and vsock of a configuration: what of the guest is a unix socket here. @module */
import type { ConsoleConfig, GuestConfig, PortConfig, VsockConfig } from "../control.ts";
import { list, oneOf, record, refuse, text, whole } from "./fields.ts";

/** The name that the agent of QEMU's guests looks for. */
export const GUEST_AGENT_PORT = "org.qemu.guest_agent.0";

/** sun_path, without its 0 */
const MAX_SOCKET_PATH = 107;
/** What a port's number adds to vsock's path: "_4294967295". */
const PORT_SUFFIX = 11;
const MAX_PORTS = 6;
const MAX_PORT_NAME = 64;
const MAX_WINDOW = 1000;
/** 0 to 2 mean the hypervisor, the guest itself and the host; 2^32 - 1 means any. */
const CIDS = { min: 3, max: 2 ** 32 - 2 };

export const SOCKET_FIELDS = ["console", "ports", "vsock"] as const;

/** Those of them that there are. */
export function socketFields(
  c: Record<string, unknown>,
): Pick<GuestConfig, (typeof SOCKET_FIELDS)[number]> {
  const fields = { console: guestConsole(c.console), ports: ports(c.ports), vsock: vsock(c.vsock) };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function socket(value: unknown, what: string, max = MAX_SOCKET_PATH): string {
  const path = text(value, what);
  if (new TextEncoder().encode(path).length > max) {
    refuse(what, path, `the path of a socket has at most ${max} bytes here`);
  }
  return path;
}

export function guestConsole(value: unknown): ConsoleConfig | undefined {
  if (value === undefined) return undefined;
  const c = record(value, "the console", ["socket", "columns", "rows"]);
  const size = { min: 1, max: MAX_WINDOW };
  return {
    socket: socket(c.socket, "the console's socket"),
    columns: whole(c.columns ?? 80, "the console's columns", size),
    rows: whole(c.rows ?? 25, "the console's rows", size),
  };
}

export function ports(value: unknown): PortConfig[] | undefined {
  if (value === undefined) return undefined;
  const all = list(value, "the ports", MAX_PORTS).map(port);
  all.forEach(({ name }, i) => {
    if (all.findIndex((other) => other.name === name) !== i) {
      refuse("the port", name, "each needs a name of its own");
    }
  });
  return all;
}

function port(value: unknown): PortConfig & { name: string } {
  const p = record(value, "a port", ["name", "socket"]);
  const name = text(p.name ?? GUEST_AGENT_PORT, "a port's name");
  // It becomes a file's name in the guest.
  if (!/^[\w.:+-]+$/.test(name) || /^\.+$/.test(name) || name.length > MAX_PORT_NAME) {
    refuse("a port's name", name, `it has at most ${MAX_PORT_NAME} letters, digits and _.:+-`);
  }
  return { name, socket: socket(p.socket, `the socket of port "${name}"`) };
}

export function vsock(value: unknown): VsockConfig | undefined {
  if (value === undefined) return undefined;
  const v = record(value, "vsock", ["cid", "backend", "socket"]);
  const cid = whole(v.cid ?? CIDS.min, "vsock's cid", CIDS);
  const backend = oneOf(v.backend, "vsock's backend", ["user", "vhost"] as const) ?? "user";
  if (backend === "user") {
    return {
      cid,
      backend,
      socket: socket(v.socket, "vsock's socket", MAX_SOCKET_PATH - PORT_SUFFIX),
    };
  }
  if (v.socket !== undefined) {
    refuse("vsock's socket", v.socket, "with vhost, programs of the host use AF_VSOCK instead");
  }
  return { cid, backend };
}
