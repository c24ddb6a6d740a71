import { useState } from "preact/hooks";
import type { HostStorage, PoolMember } from "../../hypervisor/supervisor/api/schemas.ts";
import { diskTitle, MEMBER_WORDS, poolWords, syncWords } from "../components/disk_words.ts";
import { formatBytes, formatTime } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { takeStorage } from "./live_storage.ts";
import { toast } from "./toasts.ts";

interface PoolPanelProps {
  storage: HostStorage;
  onRemove: (member: PoolMember) => void;
}

/** What the host's data are on, and how that is. */
export function PoolPanel({ storage, onRemove }: PoolPanelProps) {
  const { pool, disks } = storage;
  const { members, sync, kind } = pool;
  const isMirror = kind === "mirror" && members.length > 1;
  const titleOf = (name: string | null) => {
    const disk = disks.find((it) => it.name === name);
    return disk ? diskTitle(disk) : "A disk that is not there";
  };
  return (
    <section class="pool" aria-label="The pool">
      <h2>
        {kind === "none" ? "No pool" : `Pool of ${formatBytes(pool.bytes)}`}
      </h2>
      <p class="disk-facts">{poolWords(pool)}</p>
      {pool.refusal !== null && kind === "plain" && (
        <p class="disk-facts">It cannot be mirrored. {pool.refusal}</p>
      )}
      {isMirror && (
        <ul class="members">
          {members.map((member, i) => (
            <li key={member.disk ?? i}>
              <span class={`state ${STATES[member.state]}`}>{MEMBER_WORDS[member.state]}</span>
              <span class="member-title">{titleOf(member.disk)}</span>
              <ActionButton
                icon="unplug"
                kind="quiet"
                isSmall
                reason={whyNotRemove(member, members)}
                onClick={() => onRemove(member)}
              >
                Take out {titleOf(member.disk)}
              </ActionButton>
            </li>
          ))}
        </ul>
      )}
      {sync !== null && (
        <div class="pool-sync">
          <p>{syncWords(sync)}</p>
          <progress
            aria-label={syncWords({ ...sync, secondsLeft: null })}
            max="1"
            value={sync.totalBytes > 0 ? sync.doneBytes / sync.totalBytes : 0}
          />
        </div>
      )}
      {isMirror && <Scrubs storage={storage} />}
    </section>
  );
}

const STATES: Record<PoolMember["state"], string> = {
  "in-sync": "state-running",
  "rebuilding": "state-starting",
  "failed": "state-failed",
  "missing": "state-failed",
};

function whyNotRemove(member: PoolMember, members: readonly PoolMember[]): string | null {
  const others = members.filter((it) => it !== member && it.state === "in-sync");
  return others.length > 0 ? null : "No other disk has all of the data";
}

/** How the two disks are compared: when, and with what result. */
function Scrubs({ storage: { pool } }: { storage: HostStorage }) {
  const { scrub, sync, members } = pool;
  const [isBusy, setBusy] = useState(false);
  const act = async (asked: Promise<HostStorage>) => {
    setBusy(true);
    try {
      takeStorage(await asked);
    } catch (error) {
      toast("problem", messageOf(error));
    }
    setBusy(false);
  };
  const isScrubbing = sync?.kind === "scrub";
  const isWhole = members.every(({ state }) => state === "in-sync");
  const other = scrub.schedule === "monthly" ? "off" : "monthly";
  return (
    <>
      <p class="disk-facts">
        {scrub.last === null ? <span>The disks have not been compared yet</span> : (
          <span>
            Compared on {formatTime(scrub.last.at)}: {scrub.last.mismatchedSectors === 0
              ? "they were the same"
              : `${scrub.last.mismatchedSectors} sectors were not the same. What guests write while it is being written to both disks can be among them`}
          </span>
        )}
        <span>
          {scrub.nextAt !== null
            ? `Compared again in the night of ${formatTime(scrub.nextAt).slice(0, 10)}`
            : scrub.schedule === "off" && "They are not compared by themselves"}
        </span>
      </p>
      <div class="row">
        {isScrubbing
          ? (
            <ActionButton
              icon="stop"
              reason={null}
              isBusy={isBusy}
              onClick={() => void act(call("endScrub", {}))}
            >
              Stop comparing
            </ActionButton>
          )
          : (
            <ActionButton
              icon="check"
              reason={sync !== null
                ? "A disk is being brought in step"
                : isWhole
                ? null
                : "A disk is missing"}
              isBusy={isBusy}
              onClick={() => void act(call("beginScrub", {}))}
            >
              Compare now
            </ActionButton>
          )}
        <ActionButton
          icon="reset"
          kind="quiet"
          reason={null}
          isBusy={isBusy}
          onClick={() => void act(call("changeStorage", { body: { scrub: other } }))}
        >
          {other === "off" ? "Do not compare each month" : "Compare each month"}
        </ActionButton>
      </div>
    </>
  );
}
