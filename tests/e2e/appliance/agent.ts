/**
 * Runs on the test's own image of the appliance only, beside the processes that are shipped: tells
 * the test what is going on inside, and does what no user could.
 *
 * @module
 */

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
    const { mode, uid, gid, isSocket } = Deno.statSync(path);
    return { mode: mode! & 0o777, uid, gid, isSocket };
  },
  // "METHOD /path {body}" on the supervisor's own socket.
  api: async (argument) => {
    const [, method, path, body] = /^(\S+) (\S+) ?(.*)$/.exec(argument)!;
    const socket = "/run/denovisor/supervisor.sock";
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
    const init: RequestInit & { client: Deno.HttpClient } = {
      ...{ client, method, body: body || undefined },
      headers: body ? { "content-type": "application/json" } : {},
    };
    const response = await fetch(`http://localhost/api/v1${path}`, init);
    return await response.json();
  },
  kill: (pid) => Deno.kill(Number(pid), "SIGKILL"),
  // The shell ends at once, so that its child loses its parent.
  orphan: () => {
    new Deno.Command("/bin/busybox", { args: ["sh", "-c", "busybox sleep 0.2 & exit 0"] }).spawn();
  },
};

if (import.meta.main) {
  Deno.serve({ port: PORT, onListen: () => {} }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const action = ACTIONS[pathname.slice(1)];
    if (!action) return new Response("no such action", { status: 404 });
    try {
      return Response.json(await action(searchParams.get("argument") ?? "") ?? null);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  });
}
