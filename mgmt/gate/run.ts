/**
 * The console's process.
 *
 * @module
 */
import { setUpstream } from "../server/page_api.ts";
import { loadCertificate, ownNames } from "./certificate.ts";
import { createGate, createRedirect, type Handler } from "./gate.ts";
import type { Options } from "./options.ts";
import { connectUpstream } from "./upstream.ts";

export interface RunningConsole {
  port: number;
  httpPort: number | null;
  fingerprint: string;
  shutdown(): Promise<void>;
}

/** Serves pages and API until `shutdown()`. */
export async function runConsole(options: Options, pages: Handler): Promise<RunningConsole> {
  const { cert, key, fingerprint } = await loadCertificate(options.tlsDir, ownNames);
  const upstream = connectUpstream(options.api);
  setUpstream(upstream);
  const { hostname } = options;
  const onListen = () => {};
  const https = Deno.serve(
    { port: options.port, hostname, cert, key, onListen },
    createGate({ upstream, pages }),
  );
  const http = options.httpPort === 0 ? null : Deno.serve(
    { port: options.httpPort, hostname, onListen },
    createRedirect(() => https.addr.port),
  );
  return {
    port: https.addr.port,
    httpPort: http?.addr.port ?? null,
    fingerprint,
    async shutdown() {
      await Promise.all([https.shutdown(), http?.shutdown()]);
      upstream[Symbol.dispose]();
    },
  };
}

/** Runs as a program: tells on standard output where it serves, and ends on SIGTERM. */
export async function main(options: Options, pages: Handler): Promise<void> {
  const console_ = await runConsole(options, pages);
  console.log(`console: serving https on port ${console_.port}`);
  if (console_.httpPort !== null) {
    console.log(`console: sending http on to it from port ${console_.httpPort}`);
  }
  console.log(`console: certificate SHA-256 ${console_.fingerprint}`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    // Streams may stay open for as long as someone looks at them; they are not waited for.
    Deno.addSignalListener(signal, () => Deno.exit(0));
  }
}
