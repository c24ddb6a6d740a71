/**
 * The console as the appliance runs it: the bundle, in a process of its own, with the permissions
 * that mgmt/README.md lists and no others.
 *
 * @module
 */
import { join } from "@std/path";

export interface ConsoleProcess extends AsyncDisposable {
  url: string;
  tlsDir: string;
}

export async function startConsole(
  options: { built: string; api: string; dir: string },
): Promise<ConsoleProcess> {
  const { built, api, dir } = options;
  const tlsDir = join(dir, "tls");
  await Deno.mkdir(tlsDir, { recursive: true });
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-config",
      "--no-remote",
      "--no-npm",
      "--no-lock",
      "--no-prompt",
      `--allow-net=unix:${api},localhost:80,127.0.0.1:0`,
      `--allow-read=${built},${tlsDir},${api}`,
      `--allow-write=${tlsDir},${api}`,
      "--allow-sys=hostname,networkInterfaces",
      join(built, "console.js"),
      `--api=${api}`,
      `--tls-dir=${tlsDir}`,
      `--assets=${join(built, "mgmt")}`,
      "--port=0",
      "--http-port=0",
      "--hostname=127.0.0.1",
    ],
    stdout: "piped",
    stderr: "inherit",
    cwd: dir,
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let port: string | undefined;
  while (!port) {
    const { value, done } = await output.read();
    if (done) throw new Error("Cannot start the console: it ended; its own words are above");
    text += value;
    port = /https on port (\d+)\n/.exec(text)?.[1];
  }
  return {
    url: `https://127.0.0.1:${port}`,
    tlsDir,
    async [Symbol.asyncDispose]() {
      await output.cancel();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
