/**
 * Connections to other hosts. The certificate that is expected is the only one that will do: the name
 * that all hosts' certificates are for is one that no public authority may sign for.
 *
 * @module
 */
import { connect as connectTls } from "node:tls";
import { encodeBase64 } from "@std/encoding";
import type { PeerRecord } from "../store/peers.ts";
import { type Address, parseAddress } from "./address.ts";
import { PeerChannel } from "./channel.ts";
import { PeerError } from "./frames.ts";
import { introduce } from "./greeting.ts";
import type { HostIdentity } from "./identity.ts";

/** As in `certificate.ts`, which is too large to be loaded for a name. */
export const PEER_NAME = "peer.denovisor.internal";
/** What the connection is for. */
export const ALPN = ["denovisor-peer/1"];
/** Until it has shown who it is: milliseconds. A host under full load takes its time for that. */
const CONNECT_MS = 20_000;

/** Connects to a host that this one is paired with; each has shown who it is. */
export async function dial(peer: PeerRecord, identity: HostIdentity): Promise<PeerChannel> {
  const channel = await connect(parseAddress(peer.address), peer.certificate);
  try {
    await introduce(channel, { identity, server: peer.fingerprint });
    return channel;
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** Connects to whoever has the key of a certificate, within so many milliseconds. */
export async function connect(
  { hostname, port }: Address,
  certificate: string,
  { timeoutMs = CONNECT_MS }: { timeoutMs?: number } = {},
): Promise<PeerChannel> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let plain: Deno.TcpConn;
  try {
    plain = await Deno.connect({ hostname, port, signal: timeout });
  } catch (cause) {
    throw unreachable({ hostname, port }, cause);
  }
  let open: Deno.TcpConn | Deno.TlsConn = plain;
  const close = () => {
    try {
      open.close();
    } catch {
      // It is just being made one of TLS: that is looked at below.
    }
  };
  timeout.addEventListener("abort", close);
  try {
    plain.setNoDelay(true);
    plain.setKeepAlive(true);
    const tls = await Deno.startTls(plain, {
      hostname: PEER_NAME,
      caCerts: [certificate],
      alpnProtocols: ALPN,
    });
    open = tls;
    if (timeout.aborted) close();
    await tls.handshake();
    return new PeerChannel(tls);
  } catch (cause) {
    close();
    throw unreachable({ hostname, port }, timeout.aborted ? "it does not answer" : cause);
  } finally {
    timeout.removeEventListener("abort", close);
  }
}

/**
 * The certificate that somebody at an address shows, in PEM. Nobody vouches for it: a pairing does, once
 * it is done with whoever has its key.
 */
export function certificateAt({ hostname, port }: Address): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connectTls({
    ...{ host: hostname, port, servername: PEER_NAME, minVersion: "TLSv1.3" },
    ALPNProtocols: ALPN,
    // Nothing is said on this connection, and nothing of it believed.
    rejectUnauthorized: false,
  });
  const timer = setTimeout(() => socket.destroy(new Error("it does not answer")), CONNECT_MS);
  socket.once("secureConnect", () => {
    const { raw } = socket.getPeerCertificate();
    if (raw === undefined) return reject(new PeerError("The other host shows no certificate"));
    const lines = encodeBase64(raw).match(/.{1,64}/g)!.join("\n");
    resolve(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
  });
  socket.once("error", (cause: Error) => reject(unreachable({ hostname, port }, cause)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function unreachable({ hostname, port }: Address, cause: unknown): PeerError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new PeerError(`Cannot reach the host at ${hostname}, port ${port}: ${why}`, { cause });
}
