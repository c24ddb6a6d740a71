/**
 * The kernel's own account of devices that come and go: the uevent netlink socket.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // Runs on Deno's pool of blocking threads: one of them waits as long as the stream is read.
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize", nonblocking: true },
});

const AF_NETLINK = 16;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_KOBJECT_UEVENT = 15;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const MAX_EVENT_BYTES = 16 * 1024;

export interface Uevent {
  /** "add", "remove", "change", "bind" ... */
  action: string;
  /** Below /sys. */
  path: string;
  /** SUBSYSTEM, MODALIAS, DEVNAME ... */
  env: Record<string, string>;
}

/**
 * Listens from the moment it is called, so that nothing is missed between it and a look through
 * /sys; ends when the socket fails.
 */
export function uevents(): AsyncGenerator<Uevent, void> {
  const fd = check(
    libc.symbols.socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT),
    "open the socket of device events",
  );
  // struct sockaddr_nl: family, padding, pid 0 (the kernel picks one), group 1 (the kernel's).
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, 1, true);
  check(libc.symbols.bind(fd, address, address.length), "bind the socket of device events");
  // Best effort: without it a burst of events may be lost, as at the plugging of a big hub.
  libc.symbols.setsockopt(
    fd,
    SOL_SOCKET,
    SO_RCVBUFFORCE,
    new Uint8Array(new Uint32Array([RECEIVE_BUFFER_BYTES]).buffer),
    4,
  );
  return receive(fd);
}

async function* receive(fd: number): AsyncGenerator<Uevent, void> {
  const buffer = new Uint8Array(MAX_EVENT_BYTES);
  try {
    while (true) {
      const length = Number(await libc.symbols.recv(fd, buffer, BigInt(buffer.length), 0));
      // ENOBUFS and EINTR lose events but not the socket; errno belongs to another thread here.
      if (length <= 0) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      const event = parseUevent(buffer.subarray(0, length));
      if (event) yield event;
    }
  } finally {
    close(fd);
  }
}

/** Reads one datagram; null for what is not a kernel's event (udev writes a header of its own). */
export function parseUevent(bytes: Uint8Array): Uevent | null {
  const [head, ...lines] = new TextDecoder().decode(bytes).split("\0");
  const match = head.match(/^([a-z]+)@(\/.*)$/);
  if (!match) return null;
  const env: Record<string, string> = {};
  for (const line of lines) {
    const at = line.indexOf("=");
    if (at > 0) env[line.slice(0, at)] = line.slice(at + 1);
  }
  return { action: match[1], path: match[2], env };
}
