/**
 * What a send is asked for, needs of a guest, is told, and tells.
 *
 * @module
 */
import type { LiveCopy } from "../snapshot/live_copy.ts";
import { NOTHING_COPIED } from "./outgoing.ts";
import type { PageServer } from "./page_server.ts";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import type { CopyFigures, CopyProgress, SavableGuest } from "../snapshot/saving.ts";

export interface SendOptions {
  /** The unix socket to connect to. */
  socket: string;
  /** The guest stands still until {@linkcode Send.go}, before it is given away. */
  hold?: boolean;
  allowedPauseMs?: number;
  /** While the guest runs, as they go to the receiver; as many as there can be without. */
  bytesPerSecond?: number;
  /** By then the guest has stopped, or it is given up; for ever without. */
  timeoutMs?: number;
  /** A guest that changes its memory as fast as it is sent is stopped for longer than is allowed. */
  force?: boolean;
  /** Its vCPUs are slowed down for as long as that is so, a step at a time, and only then the others count. */
  slowDown?: boolean;
  /** The memory of such a guest may follow it, if the receiver can have it so; counts before `force`. */
  postCopy?: boolean;
  /** Its memory is packed, if the receiver can unpack it, all that shrinks or where that goes faster. */
  compress?: "zstd" | "auto" | "none";
}

/** The guest as this needs it. */
export interface SendableGuest extends SavableGuest {
  readonly cpuids: CpuidEntry[][];
  /** The files behind its disks. */
  diskFds(): readonly number[];
  /** Lets others have them. */
  unlockDisks(): void;
  /** It is given away: it ends here. */
  leave(message: string): void;
  /** It is given away, and lost: it stands still here until somebody ends it. */
  strand(message: string): void;
}

export interface SendProgress extends CopyProgress {
  phase: "greeting" | "moving" | "asking" | "holding" | "giving" | "post-copying";
  /** In how many bytes memory has gone until now: fewer than of memory where it is packed. */
  wireBytes: number;
}

export interface SendResult extends CopyFigures {
  handOver: string;
  /** Whether the receiver has said that it runs it. */
  isHeard: boolean;
  /** In how many bytes memory has gone. */
  wireBytes: number;
  /** Bytes of memory that followed the guest; absent where it was not let go before its memory. */
  followedBytes?: number;
  /** It is lost: so many bytes at least of its memory are nowhere but here. With 0 it may be, and may not. */
  missingBytes?: number;
}

export interface SendHost {
  progress(progress: SendProgress): void;
  held(): void;
  /** It is over: with an error, the guest goes on here. */
  done(error: Error | undefined, result: SendResult): void;
}

/** How far it is, with the pages that follow. */
export function withFollowing(progress: SendProgress, following: PageServer): SendProgress {
  const { leftBytes: remainingBytes, sentBytes } = following;
  const doneBytes = progress.doneBytes + sentBytes;
  return {
    ...progress,
    ...{ doneBytes, remainingBytes, totalBytes: doneBytes + remainingBytes },
    ...{ wireBytes: progress.wireBytes + sentBytes, bytesPerSecond: following.rate() },
  };
}

/** What became of a copy, and of the pages that follow it. */
export function resultOf(
  copy: LiveCopy | undefined,
  following: PageServer | undefined,
): Omit<SendResult, "handOver" | "isHeard"> {
  const { bytes, ...figures } = copy?.figures ?? NOTHING_COPIED;
  const wireBytes = copy?.wireBytes ?? 0;
  if (following === undefined) return { ...figures, bytes, wireBytes };
  const { sentBytes: followedBytes } = following;
  const all = { bytes: bytes + followedBytes, wireBytes: wireBytes + followedBytes };
  return { ...figures, ...all, followedBytes };
}
