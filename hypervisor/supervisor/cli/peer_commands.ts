/**
 * Commands for other hosts, and for guests that move there.
 *
 * @module
 */
import type { Guest, Peer, UnsettledMove } from "../api/schemas.ts";
import { MOVE_COMPRESSION } from "../api/limits.ts";
import { bytes, oneOf, parseRest, UsageError, wholeNumber } from "./arguments.ts";
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

const MOVE_WORDS: Record<UnsettledMove["state"], string> = {
  unknown: "the other host has not said yet that it has it",
  said: "settled by hand; the other host has not heard it yet",
  aside: "set aside: the other host has it, where this one was declared lost",
};

const MOVES: Record<string, (context: Context, rest: string[]) => Promise<void>> = {
  async ls(context, rest) {
    words(rest);
    const moves = await context.api.client.call("listMoves", {});
    await show(context, moves, [
      ["GUEST", "DIRECTION", "HOST", "STATE", "ID"],
      ...moves.map((it) => [
        it.guestName,
        it.direction,
        it.peerName ?? it.peer,
        MOVE_WORDS[it.state],
        it.id,
      ]),
    ]);
  },
  async resolve(context, rest) {
    const { words: [word, runs, ...more], options } = parseRest(rest, { strings: ["confirm"] });
    if ((runs !== "here" && runs !== "there") || more.length > 0) {
      throw new UsageError("it takes GUEST, and here or there");
    }
    const { client } = context.api;
    const found = (await client.call("listMoves", {}))
      .filter((it) => [it.id, it.guest, it.guestName].includes(word));
    if (found.length === 0) throw new UsageError(`no move of "${word}" is unsettled`);
    if (found.length > 1) throw new UsageError(`${found.length} moves of "${word}" are unsettled`);
    const [{ id, guestName, peerName }] = found;
    const why = runs === "here"
      ? `if the guest runs on "${peerName}", what it does there is set aside once that is back`
      : "what is here of the guest is deleted";
    confirmed(options.confirm, guestName, why);
    const body = { runs, confirm: guestName } as const;
    await client.call("resolveMove", { params: { id }, body });
  },
};

/** Throws unless the person has typed the guest's name once more; `why` tells what is at stake. */
function confirmed(value: unknown, name: string, why: string): void {
  if (value === name) return;
  throw new UsageError(`${why}. If that is meant, add --confirm ${name}`);
}

/** What is left out of a move is deleted, so it is asked for twice. */
async function confirmedWithout(
  { api }: Context,
  { id, name }: Guest,
  options: { confirm?: unknown },
): Promise<void> {
  const { snapshots } = await api.client.call("listSnapshots", { params: { id } });
  if (snapshots.length === 0) return;
  const many = snapshots.length === 1 ? "its snapshot is" : `its ${snapshots.length} snapshots are`;
  confirmed(options.confirm, name, `${many} deleted once it has moved`);
}

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
      "GUEST HOST [--limit BYTES] [--pause MILLISECONDS] [--within SECONDS] [--force] [--post-copy] " +
      "[--compress auto|zstd|none] [--without-snapshots] [--no-wait]",
    summary:
      "Move a running guest with its disks and snapshots to another host; --limit is for each second. " +
      "Disks on a store that both see stay where they are. With --post-copy its memory follows after it, " +
      "and is lost if a host or the network fails meanwhile. " +
      "Its memory is compressed while the network is what holds it up; --compress zstd or none says otherwise",
    async run(context, rest) {
      const { words: [guest, host, ...more], options } = parseRest(rest, {
        strings: ["limit", "pause", "within", "compress", "confirm"],
        booleans: ["force", "post-copy", "without-snapshots", "no-wait"],
      });
      if (host === undefined || more.length > 0) throw new UsageError("it takes GUEST and HOST");
      const [found, peer] = [await find(context, guest), await findPeer(context, host)];
      const withoutSnapshots = options["without-snapshots"] === true;
      if (withoutSnapshots) await confirmedWithout(context, found, options);
      const params = { id: found.id };
      const body = {
        peer: peer.id,
        bytesPerSecond: bytes(options.limit, "limit"),
        allowedPauseMs: wholeNumber(options.pause, "pause"),
        withinSeconds: wholeNumber(options.within, "within"),
        force: options.force === true,
        postCopy: options["post-copy"] === true,
        compress: oneOf(options.compress, "compress", MOVE_COMPRESSION),
        withoutSnapshots,
      };
      const task = await context.api.client.call("moveGuest", { params, body });
      await follow(context, task, { wait: options["no-wait"] !== true });
    },
  },
  {
    name: "moves",
    words: "ls | resolve GUEST here|there --confirm GUEST",
    summary: "Moves whose other host has not answered: list them, or say whose the guest is " +
      "where it never will: here, or there and forgotten here",
    async run(context, [verb = "ls", ...rest]) {
      const act = Object.hasOwn(MOVES, verb) ? MOVES[verb] : undefined;
      if (act === undefined) throw new UsageError("it takes ls or resolve");
      await act(context, rest);
    },
  },
];
