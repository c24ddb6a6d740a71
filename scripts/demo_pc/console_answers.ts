/**
 * Waiting for the console of a host that is starting.
 *
 * @module
 */
import { connect, type TLSSocket } from "node:tls";

/** Returns once the console's port completes a TLS handshake; throws after the limit. */
export async function consoleAnswers(
  options: { port: number; limitSeconds: number },
): Promise<void> {
  const until = performance.now() + options.limitSeconds * 1000;
  let last = "";
  while (performance.now() < until) {
    try {
      (await handshake(options.port)).destroy();
      return;
    } catch (error) {
      last = (error as Error).message;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(
    `Cannot reach the console on port ${options.port}: no answer in ${options.limitSeconds} s (${last})`,
  );
}

function handshake(port: number): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  // Its certificate is its own: a person compares the fingerprint with the host's screen.
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  socket.setTimeout(5000, () => socket.destroy(new Error("the handshake took over 5 s")));
  socket.once("secureConnect", () => resolve(socket));
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("the connection was closed")));
  return promise;
}
