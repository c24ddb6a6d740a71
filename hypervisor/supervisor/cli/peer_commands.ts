/**
 * Commands for other hosts, and for guests that move there.
 *
 * @module
 */
import type { Peer } from "../api/schemas.ts";
import { bytes, parseRest, UsageError, wholeNumber } from "./arguments.ts";
import { type Command, type Context, find, show, words } from "./command.ts";
import { follow } from "./task_progress.ts";

/** The host that a person means by its name, its address or its id. */
async function findPeer({ api }: Context, word: string): Promise<Peer> {
  const peers = await api.client.call("listPeers", {});
  const found = peers.filter(({ id, name, address }) => [id, name, address].includes(word));
  if (found.length === 0) throw new UsageError(`there is no host "${word}"`);
  if (found.length > 1) throw new UsageError(`there are ${found.length} hosts "${word}"`);
  return found[0];
}

async function showPeers(context: Context, peers: Peer[]): Promise<void> {
  const room = (mib: number | null) => mib === null ? "-" : `${mib} MiB`;
  await show(context, peers, [
    ["NAME", "ADDRESS", "REACHABLE", "VERSION", "FREE MEMORY", "FREE DISK", "CPU", "ID"],
    ...peers.map((peer) => [
      peer.name,
      peer.address,
      peer.reachable ? "yes" : `no: ${peer.problem}`,
      peer.version ?? "-",
      room(peer.memoryFreeMiB),
      room(peer.diskFreeMiB),
      peer.cpuModel ?? "-",
      peer.id,
    ]),
  ]);
}

const PEERS: Record<string, (context: Context, rest: string[]) => Promise<void>> = {
  async ls(context, rest) {
    words(rest);
    await showPeers(context, await context.api.client.call("listPeers", {}));
  },
  async pair(context, rest) {
    words(rest);
    const offer = await context.api.client.call("offerPairing", {});
    await show(context, offer, [
      ["CODE", offer.code],
      ["UNTIL", offer.expiresAt],
      ...offer.addresses.map((address) => ["ADDRESS", address]),
    ]);
  },
  async add(context, rest) {
    const [address, code] = words(rest, "ADDRESS", "CODE");
    const body = { address, code };
    await showPeers(context, [await context.api.client.call("addPeer", { body })]);
  },
  async rm(context, rest) {
    const { id } = await findPeer(context, words(rest, "HOST")[0]);
    await context.api.client.call("deletePeer", { params: { id } });
  },
};

export const PEER_COMMANDS: readonly Command[] = [
  {
    name: "peers",
    words: "ls | pair | add ADDRESS CODE | rm HOST",
    summary: "Other hosts: list them, offer one a code to pair with, pair with one, forget one",
    async run(context, [verb = "ls", ...rest]) {
      const act = Object.hasOwn(PEERS, verb) ? PEERS[verb] : undefined;
      if (act === undefined) throw new UsageError("it takes ls, pair, add or rm");
      await act(context, rest);
    },
  },
  {
    name: "move",
    words:
      "GUEST HOST [--limit BYTES] [--pause MILLISECONDS] [--within SECONDS] [--force] [--no-wait]",
    summary: "Move a running guest with its disks to another host; --limit is for each second",
    async run(context, rest) {
      const { words: [guest, host, ...more], options } = parseRest(rest, {
        strings: ["limit", "pause", "within"],
        booleans: ["force", "no-wait"],
      });
      if (host === undefined || more.length > 0) throw new UsageError("it takes GUEST and HOST");
      const [{ id }, peer] = [await find(context, guest), await findPeer(context, host)];
      const body = {
        peer: peer.id,
        bytesPerSecond: bytes(options.limit, "limit"),
        allowedPauseMs: wholeNumber(options.pause, "pause"),
        withinSeconds: wholeNumber(options.within, "within"),
        force: options.force === true,
      };
      const task = await context.api.client.call("moveGuest", { params: { id }, body });
      await follow(context, task, { wait: options["no-wait"] !== true });
    },
  },
];
