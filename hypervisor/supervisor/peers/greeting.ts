/**
 * How two hosts begin: before this is done, neither believes the other anything.
 *
 * ```
 * client                                  server
 *                                     <-  hello: version, nonce
 * known: fingerprint, signature       ->
 *                                     <-  welcome, or refused
 * ```
 *
 * and, where they are to be paired:
 *
 * ```
 *                                     <-  hello: version, nonce
 * pair: certificate, signature,
 *       nonce, proof of the code      ->
 *                                     <-  paired: proof of the code, or refused
 * ```
 *
 * @module
 */
import * as z from "zod";
import { normalizeCode } from "../access/secrets.ts";
import type { PeerRecord } from "../store/peers.ts";
import type { PeerChannel } from "./channel.ts";
import { PeerError } from "./frames.ts";
import { block, fingerprintOf, type HostIdentity, isSigned } from "./identity.ts";
import { clientText, codeProof, isProof, newNonce, PEER_PROTOCOL } from "./proofs.ts";

/** How long each step of it may take, in milliseconds. */
const STEP_MS = 10_000;
const MAX_CERTIFICATE = 4096;

const Hex = (length: number) => z.string().regex(new RegExp(`^[0-9a-f]{${length}}$`));
const Nonce = Hex(64);
const Fingerprint = Hex(64);
const Signature = Hex(128);
const Proof = Hex(64);
/** A host's name is shown to people, and never used for anything. */
const HostName = z.string().min(1).max(255).regex(/^[\x21-\x7e]+$/);

export const Hello = z.strictObject({ denovisor: z.int(), nonce: Nonce });
export const Known = z.strictObject({ known: Fingerprint, signature: Signature });
export const Pair = z.strictObject({
  pair: z.string().max(MAX_CERTIFICATE),
  signature: Signature,
  nonce: Nonce,
  proof: Proof,
  name: HostName,
  port: z.int().min(1).max(65535),
});
export const FirstWord = z.union([Known, Pair]);
const REFUSALS = ["unknown", "code"] as const;
const Refused = z.strictObject({ refused: z.enum(REFUSALS) });
export const Answer = z.union([z.strictObject({ welcome: z.literal(true) }), Refused]);
export const PairAnswer = z.union([
  z.strictObject({ paired: Proof, name: HostName }),
  Refused,
]);

/** Who came, at a server's end. */
export type Caller =
  | { known: PeerRecord }
  /** Knows the code. It is to be kept, and then told with `accept`. */
  | { stranger: Stranger; accept(): Promise<void> };

/** A host with which this one is to be paired. */
export interface Stranger {
  name: string;
  certificate: string;
  fingerprint: string;
  /** Where it listens. */
  port: number;
}

export interface Receptionist {
  identity: HostIdentity;
  /** What this host calls itself. */
  name: string;
  /** A host that this one is paired with. */
  find(fingerprint: string): PeerRecord | null;
  /**
   * The code that is offered, which is then used up unless it is put back; null where there is none,
   * or too many have tried.
   */
  takeCode(): { code: string; putBack(): void } | null;
}

/** At the server's end: finds out who the other is. Throws a {@linkcode PeerError} where it is nobody. */
export async function receive(channel: PeerChannel, desk: Receptionist): Promise<Caller> {
  const nonce = newNonce();
  await channel.say({ denovisor: PEER_PROTOCOL, nonce });
  const word = await channel.hear(FirstWord, STEP_MS);
  const server = desk.identity.fingerprint;
  if ("known" in word) {
    const peer = desk.find(word.known);
    const message = clientText(nonce, { server, client: word.known });
    if (
      peer === null ||
      !await isSigned(message, { by: peer.certificate, signature: word.signature })
    ) {
      return await refuse(channel, "unknown");
    }
    await channel.say({ welcome: true });
    return { known: peer };
  }
  const offer = desk.takeCode();
  if (offer === null) return await refuse(channel, "code");
  const stranger = await strangerOf(word).catch(() => null);
  const about = {
    server,
    client: stranger?.fingerprint ?? "",
    serverNonce: nonce,
    clientNonce: word.nonce,
  };
  const expected = await codeProof(offer.code, "client", about);
  const message = clientText(nonce, about);
  if (
    stranger === null || !isProof(word.proof, expected) ||
    !await isSigned(message, { by: stranger.certificate, signature: word.signature })
  ) {
    offer.putBack();
    return await refuse(channel, "code");
  }
  const paired = await codeProof(offer.code, "server", about);
  return { stranger, accept: () => channel.say({ paired, name: desk.name }) };
}

async function refuse(channel: PeerChannel, refused: typeof REFUSALS[number]): Promise<never> {
  await channel.say({ refused });
  await channel.end();
  throw new PeerError(
    refused === "unknown"
      ? "A host that is not paired with this one was turned away"
      : "A host that wanted to be paired was turned away: it has another code, or none is offered",
  );
}

async function strangerOf({ pair, name, port }: z.output<typeof Pair>): Promise<Stranger> {
  const certificate = block(pair, "CERTIFICATE");
  if (certificate === null) throw new PeerError("A host showed no certificate");
  return { name, port, certificate, fingerprint: await fingerprintOf(certificate) };
}

/** At the client's end, over TLS with the certificate that the server is known by. */
export async function introduce(
  channel: PeerChannel,
  { identity, server }: { identity: HostIdentity; server: string },
): Promise<void> {
  const { nonce } = await hello(channel);
  const { fingerprint } = identity;
  const signature = await identity.sign(clientText(nonce, { server, client: fingerprint }));
  await channel.say({ known: fingerprint, signature });
  const answer = await channel.hear(Answer, STEP_MS);
  if ("refused" in answer) {
    throw new PeerError("The other host does not know this one any more: pair them again");
  }
}

/**
 * At the client's end, over TLS with a certificate that nobody has vouched for yet: what the other host
 * calls itself, once it has shown that it knows the code.
 */
export async function pair(
  channel: PeerChannel,
  options: { identity: HostIdentity; server: string; code: string; name: string; port: number },
): Promise<{ name: string }> {
  const { identity, server, name, port } = options;
  const code = normalizeCode(options.code);
  const { nonce: serverNonce } = await hello(channel);
  const client = identity.fingerprint;
  const clientNonce = newNonce();
  const about = { server, client, serverNonce, clientNonce };
  await channel.say({
    pair: identity.certificate,
    signature: await identity.sign(clientText(serverNonce, about)),
    nonce: clientNonce,
    proof: await codeProof(code, "client", about),
    name,
    port,
  });
  const answer = await channel.hear(PairAnswer, STEP_MS);
  if ("refused" in answer || !isProof(answer.paired, await codeProof(code, "server", about))) {
    throw new WrongCodeError();
  }
  return { name: answer.name };
}

/** The hosts do not know the same code. */
export class WrongCodeError extends Error {
  override readonly name = "WrongCodeError";

  constructor() {
    super("the other host offers another code, or none any more. Codes are good once");
  }
}

async function hello(channel: PeerChannel): Promise<z.output<typeof Hello>> {
  const said = await channel.hear(Hello, STEP_MS);
  if (said.denovisor === PEER_PROTOCOL) return said;
  throw new PeerError(
    `The other host speaks version ${said.denovisor} with other hosts, this one ${PEER_PROTOCOL}: ` +
      "bring both to the same version",
  );
}
