/**
 * Runs on the test's own image of the appliance only, beside the processes that are shipped: tells
 * the test what is going on inside, and does what no user could.
 *
 * @module
 */

import { HOST_SOCKET } from "../../../bootimg/services.ts";

const PORT = 9000;

interface ProcessFacts {
  pid: number;
  parent: number;
  state: string;
  uid: number;
  command: string;
}

function processes(): ProcessFacts[] {
  const found: ProcessFacts[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const status = Deno.readTextFileSync(`/proc/${name}/status`);
      const field = (key: string) => status.match(new RegExp(`^${key}:\\s*(\\S+)`, "m"))?.[1] ?? "";
      found.push({
        pid: Number(name),
        parent: Number(field("PPid")),
        state: field("State"),
        uid: Number(field("Uid")),
        command: Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim(),
      });
    } catch {
      // Gone since the listing.
    }
  }
  return found;
}

const BUSYBOX = "/bin/busybox";
/** What the processes are called, to the kernel, that stand for others' orphans and bombs. */
const SLEEPER = "sleep 7777";

/** Runs a shell's lines and forgets it. */
function shell(lines: string): void {
  const all = { stdin: "null", stdout: "null", stderr: "null" } as const;
  new Deno.Command(BUSYBOX, { args: ["sh", "-c", lines], ...all }).spawn();
}

/** Writes until there is no room; returns how many MiB there was. */
function fill(path: string): number {
  const chunk = new Uint8Array(1024 * 1024);
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (let written = 0;; written++) {
    try {
      if (file.writeSync(chunk) < chunk.length) return written;
    } catch (error) {
      if (!String(error).includes("os error 28")) throw error;
      return written;
    }
  }
}

/** Leaves `count` connections to a socket with half a request, or what is none. */
async function confuse(path: string, count: number): Promise<void> {
  const encoder = new TextEncoder();
  const texts = [
    "GET /log HT",
    "PUT /network HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n{",
    "\0",
  ];
  for (let i = 0; i < count; i++) {
    const connection = await Deno.connect({ transport: "unix", path });
    await connection.write(encoder.encode(texts[i % texts.length].repeat(i % 7 + 1))).catch(() =>
      0
    );
    if (i % 2 === 0) connection.close();
  }
}

const ACTIONS: Record<string, (argument: string) => unknown> = {
  processes: () => processes(),
  read: (path) => Deno.readTextFileSync(path),
  bytes: (path) => [...Deno.readFileSync(path)],
  names: (path) => [...Deno.readDirSync(path)].map(({ name }) => name).sort(),
  // "PATH TEXT"
  write: (argument) => {
    const [, path, text] = /^(\S+) (.*)$/s.exec(argument)!;
    Deno.writeTextFileSync(path, text);
  },
  // All threads of process 1 stand still, as if it hung; the kernel ignores SIGSTOP for it.
  freeze: () => {
    const folder = "/sys/fs/cgroup/frozen";
    Deno.mkdirSync(folder);
    Deno.writeTextFileSync(`${folder}/cgroup.procs`, "1");
    Deno.writeTextFileSync(`${folder}/cgroup.freeze`, "1");
  },
  stat: (path) => {
    const { mode, uid, gid, isSocket, size } = Deno.statSync(path);
    return { mode: mode! & 0o777, uid, gid, isSocket, size };
  },
  // "METHOD /path {body}" on the supervisor's own socket.
  api: (argument) => askJson("/run/denovisor/supervisor.sock", argument, "/api/v1"),
  // The same on process 1's.
  host: (argument) => askJson(HOST_SOCKET, argument),
  // As `reboot` does it.
  restart: () => Deno.kill(1, "SIGTERM"),
  kill: (pid) => Deno.kill(Number(pid), "SIGKILL"),
  // "PID SIGNAL", as a number, since there are some without a name.
  signal: (argument) => {
    const [pid, signal] = argument.split(" ");
    const { code } = new Deno.Command(BUSYBOX, { args: ["kill", `-${signal}`, pid] }).outputSync();
    return code === 0;
  },
  // Every process but the first, and this one last.
  massacre: () => {
    setTimeout(() => Deno.exit(9), 500);
    const victims = processes().filter((it) =>
      it.command !== "" && ![1, Deno.pid].includes(it.pid)
    );
    for (const { pid } of victims) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended with its parent.
      }
    }
    return victims.length;
  },
  // A file of one's own, which can be removed again.
  fill: (path) => fill(path),
  remove: (path) => Deno.removeSync(path),
  confuse: (argument) => {
    const [path, count] = argument.split(" ");
    return confuse(path, Number(count));
  },
  // Takes memory for as long as there is some.
  starve: () => shell("busybox tail /dev/zero"),
  // Processes for as long as they can be made; each waits.
  bomb: () => shell(`while busybox ${SLEEPER} & do :; done`),
  defuse: () => {
    const sleepers = processes().filter((it) => it.command.endsWith(SLEEPER));
    for (const { pid } of sleepers) Deno.kill(pid, "SIGKILL");
    return sleepers.length;
  },
  // So many processes lose their parent at once, and end when they like.
  orphans: (count) =>
    shell(`i=0; while [ $i -lt ${Number(count)} ]; do busybox sleep 1 & i=$((i+1)); done; exit 0`),
  // The shell ends at once, so that its child loses its parent.
  orphan: () => {
    new Deno.Command("/bin/busybox", { args: ["sh", "-c", "busybox sleep 0.2 & exit 0"] }).spawn();
  },
};

async function askJson(socket: string, argument: string, prefix = ""): Promise<unknown> {
  const [, method, path, body] = /^(\S+) (\S+) ?(.*)$/.exec(argument)!;
  const response = await ask(socket, prefix + path, {
    ...{ method, body: body || undefined },
    headers: body ? { "content-type": "application/json" } : {},
  });
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
}

async function ask(socket: string, path: string, given: RequestInit): Promise<Response> {
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  const init: RequestInit & { client: Deno.HttpClient } = { ...given, client };
  const response = await fetch(`http://localhost${path}`, init);
  const text = await response.text();
  // Nothing is an answer that may have no text, not even an empty one.
  return new Response(text === "" ? null : text, { status: response.status });
}

/** Hands an update on to process 1. */
async function update(request: Request, signature: string): Promise<Response> {
  const encoded = new TextEncoder().encode(signature).toBase64({ alphabet: "base64url" });
  const body = await request.bytes();
  return await ask(HOST_SOCKET, `/update?signature=${encoded}`, { method: "PUT", body });
}

if (import.meta.main) {
  Deno.serve({ port: PORT, onListen: () => {} }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method === "PUT") return await update(request, searchParams.get("argument") ?? "");
    const action = ACTIONS[pathname.slice(1)];
    if (!action) return new Response("no such action", { status: 404 });
    try {
      return Response.json(await action(searchParams.get("argument") ?? "") ?? null);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  });
}
