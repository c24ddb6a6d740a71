/**
 * Waiting for the console of a host that is starting.
 *
 * @module
 */
import { connect, type TLSSocket } from "node:tls";

/**
 * Returns the fingerprint (SHA-256, "AB:CD:...") of the certificate that the console presents, once its
 * port completes a TLS handshake; throws after the limit.
 */
export async function consoleAnswers(
  options: { port: number; limitSeconds: number },
): Promise<string> {
  const until = performance.now() + options.limitSeconds * 1000;
  let last = "";
  while (performance.now() < until) {
    try {
      const socket = await handshake(options.port);
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      return await fingerprintOf(raw);
    } catch (error) {
      last = (error as Error).message;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(
    `Cannot reach the console on port ${options.port}: no answer in ${options.limitSeconds} s (${last})`,
  );
}

async function fingerprintOf(certificate: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(certificate));
  return new Uint8Array(digest).toHex().toUpperCase().replace(/(..)(?!$)/g, "$1:");
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
