/**
 * Storage that both hosts of a move see: disks that are there stay where they are, and so do their copies in
 * snapshots. Which host has them is what their VMMs have locked.
 *
 * @module
 */
import { isLocked } from "../../sys/flock.ts";
import { messageOf } from "../log.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import { diskFile, filesOfGuest, type SharedFile } from "../shared/files.ts";
import { lookFor, Probe, type Sight } from "../shared/probe.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { SNAPSHOTS } from "../store/shared_files.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import type { PeerChannel } from "./channel.ts";
import { PeerError } from "./frames.ts";
import { ask, type MoveOffer, type StoreProof, StoresAnswer } from "./messages.ts";
import type { RecordParcel } from "./parcel.ts";

const ASK_MS = 30_000;

export interface AskOptions {
  guest: GuestRecord;
  /** Those that go along. */
  snapshots: readonly SnapshotRecord[];
  ground: MoveGround;
  peer: { name: string };
  dial(): Promise<PeerChannel>;
}

/** At the host that a guest leaves: what of its storage the other host sees. */
export class SharedStores implements Disposable {
  readonly #guest: GuestRecord;
  readonly #snapshots: readonly SnapshotRecord[];
  readonly #ground: MoveGround;
  /** Tokens by names. */
  readonly #shared = new Map<string, string>();
  readonly #probes = new Map<string, Probe>();

  private constructor({ guest, snapshots, ground }: AskOptions) {
    this.#guest = guest;
    this.#snapshots = snapshots;
    this.#ground = ground;
  }

  /** Asks the other host. Throws where it sees the same storage, but no locks there. */
  static async ask(options: AskOptions): Promise<SharedStores> {
    const it = new SharedStores(options);
    try {
      await it.#ask(options);
      return it;
    } catch (error) {
      it[Symbol.dispose]();
      throw error;
    }
  }

  async #ask({ guest, snapshots, ground, peer, dial }: AskOptions): Promise<void> {
    const { shared } = ground.disks;
    // From here on until it has left, what is doomed of it is what goes with it.
    shared.settleGuest(guest.id);
    const stores = [...new Set(filesOfGuest(guest, snapshots).map(({ store }) => store))];
    if (stores.length === 0) return;
    await shared.require(stores);
    for (const store of stores) this.#probes.set(store, new Probe(shared.directory(store)));
    const proofs = stores.map((store) => this.#proofOf(store));
    let seen: Sight[];
    try {
      using channel = await dial();
      const asked = { answer: StoresAnswer, withinMs: ASK_MS };
      ({ seen } = await ask(channel, { op: "stores", stores: proofs }, asked));
    } catch (cause) {
      throw new Error(
        `Cannot find out whether "${peer.name}" sees the store "${stores[0]}": ${
          messageOf(cause)
        }. A host ` + "of an older version does not know of stores: bring both to the same",
        { cause },
      );
    }
    stores.forEach((store, i) => {
      if (seen[i] === "shared") this.#shared.set(store, proofs[i].token);
      if (seen[i] !== "unlocked") return;
      throw new Error(
        `"${peer.name}" sees the store "${store}", but not what is locked there: both hosts could run the ` +
          "same disk. Mount it on both so that locks reach the other (NFS: version 4, without nolock " +
          "and local_lock)",
      );
    });
  }

  #proofOf(store: string): StoreProof {
    const { probe, nonce } = this.#probes.get(store)!;
    return { token: this.#ground.disks.shared.token(store), probe, nonce };
  }

  /** For the offer, as long as this is not disposed; undefined where nothing stays where it is. */
  get proofs(): StoreProof[] | undefined {
    const stores = [...this.#shared.keys()];
    return stores.length === 0 ? undefined : stores.map((store) => this.#proofOf(store));
  }

  /** The token of a disk's storage; undefined where the disk has to go along. */
  tokenOf({ store }: { store: string | null }): string | undefined {
    return store === null ? undefined : this.#shared.get(store);
  }

  /** What of the guest is on stores, and neither goes nor stays for the other host, goes with the guest. */
  doomRest(): void {
    const { disks: { shared }, snapshots } = this.#ground;
    const all = filesOfGuest(this.#guest, snapshots.list(this.#guest.id));
    shared.doomWithGuest(all.filter((file) => !this.#isHandedOver(file)));
  }

  #isHandedOver({ store, path }: SharedFile): boolean {
    if (!this.#shared.has(store)) return false;
    const [folder, snapshot] = path.split("/");
    return folder !== SNAPSHOTS || this.#snapshots.some(({ id }) => id === snapshot);
  }

  [Symbol.dispose](): void {
    for (const probe of this.#probes.values()) probe[Symbol.dispose]();
    this.#probes.clear();
  }
}

/** At the other host: what it sees of each. */
export async function sightsOf(
  proofs: readonly StoreProof[],
  { disks: { shared } }: MoveGround,
): Promise<Sight[]> {
  // One may have been mounted a moment ago.
  await shared.look();
  return proofs.map((proof) => {
    const store = shared.named(proof.token);
    return store === null ? "unseen" : lookFor(proof, shared.directory(store));
  });
}

/** There, too: by tokens, the names of storage that both see. Throws where this host does not. */
export async function storesOf(
  { stores: proofs = [] }: Pick<MoveOffer, "stores">,
  ground: MoveGround,
): Promise<Map<string, string>> {
  const sights = proofs.length === 0 ? [] : await sightsOf(proofs, ground);
  const { shared } = ground.disks;
  return new Map(proofs.map(({ token }, i) => {
    const name = shared.named(token);
    if (sights[i] === "shared" && name !== null) return [token, name];
    throw new Error("Cannot take a guest: its disks are on a store that is not seen here any more");
  }));
}

/** A guest's disks as they are kept where it comes to. */
export function disksHere(
  { disks }: Pick<RecordParcel, "disks">,
  stores: ReadonlyMap<string, string>,
): GuestRecord["disks"] {
  return disks.map(({ store: token, ...disk }) => {
    const store = token === undefined ? null : stores.get(token);
    if (store !== undefined) return { ...disk, store };
    throw new PeerError(
      "Cannot understand the other host: a disk on a store that it does not show",
    );
  });
}

/** They come with their guest. Throws where a guest's disks on stores are not as the other host has them. */
export function refuseOtherDisks(
  { id, name, disks }: GuestRecord,
  { offer, ground }: { offer: MoveOffer; ground: MoveGround },
): void {
  const { shared } = ground.disks;
  disks.forEach((disk, i) => {
    const file = diskFile(id, disk);
    if (file === null) return;
    shared.spare([file]);
    const [here, there] = [shared.refuseUnseen(file), offer.disks[i].bytes];
    if (here === there) return;
    throw new Error(
      `Cannot take "${name}": its disk "${disk.name}" has ${here} bytes as this host sees it, and ${there} ` +
        "as the other does",
    );
  });
}

/**
 * Throws where somebody has locked a disk on a store of a guest of which a person says that it is here: then
 * a host has the guest, whatever anybody says.
 */
export function refuseHeld(
  { disks: { shared } }: MoveGround,
  { id, name, disks }: GuestRecord,
): void {
  const held = disks.find((disk) => {
    const file = diskFile(id, disk);
    return file !== null && isLocked(shared.path(file));
  });
  if (held === undefined) return;
  throw problem(
    "disk_in_use",
    `Cannot settle the move of "${name}": its disk "${held.name}" on the store "${held.store}" is ` +
      "locked, so a host has it. One that has lost its power loses its locks too, with NFS after a " +
      "minute or two",
  );
}
