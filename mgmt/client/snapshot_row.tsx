import type { ComponentChildren } from "preact";
import type { Guest, Snapshot } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { Icon } from "../components/icons.tsx";
import { formatPause } from "../components/task_words.ts";
import { ActionButton } from "./action_button.tsx";
import { Age } from "./age.tsx";
import type { TreeRow } from "./snapshot_tree.ts";

/** What can be asked for at a snapshot. */
export type SnapshotAsk = "revert" | "fork" | "edit" | "delete";

interface SnapshotRowProps {
  row: TreeRow;
  snapshot: Snapshot;
  /** How many lanes the drawing has. */
  lanes: number;
  /** The name of the one before it. */
  before: string | null;
  /** Whether the next one writes only what has changed since. */
  isBase: boolean;
  /** Why nothing can be reverted, forked or deleted now. */
  reasons: Record<"revert" | "fork" | "delete", string | null>;
  onAsk: (ask: SnapshotAsk) => void;
}

/** A snapshot in the drawing: what it is, and what can be done with it. */
export function SnapshotRow(props: SnapshotRowProps) {
  const { row, snapshot, lanes, before, isBase, reasons, onAsk } = props;
  const { name, description, memory, template, frozen, memoryBytes, ownBytes, pauseMs } = snapshot;
  const button = { kind: "quiet", isSmall: true } as const;
  const facts = [
    memory ? `with its memory, ${formatBytes(memoryBytes)}` : "disks only",
    ownBytes !== null && `${formatBytes(ownBytes)} of its own`,
    frozen && "file systems frozen",
    pauseMs !== null && `stood still for ${formatPause(pauseMs)}`,
  ];
  return (
    <li class="snapshot">
      <TreeLines row={row} lanes={lanes} />
      <div class="snapshot-text">
        <p class="snapshot-head">
          <b>{name}</b>
          {template && <span class="standing standing-boot">Template</span>}
          {isBase && (
            <span class="standing" title="The next one writes only what has changed of memory">
              Tracked since
            </span>
          )}
          {before !== null && <span class="unseen">comes after {before}</span>}
        </p>
        <p class="device-facts">
          <Age since={snapshot.createdAt} />
          {` · ${facts.filter(Boolean).join(" · ")}`}
        </p>
        {description !== "" && <p class="snapshot-description">{description}</p>}
      </div>
      <div class="row snapshot-acts" role="group" aria-label={`Actions for the snapshot ${name}`}>
        <ActionButton
          {...button}
          icon="revert"
          reason={reasons.revert}
          onClick={() => onAsk("revert")}
        >
          Revert to {name}
        </ActionButton>
        <ActionButton {...button} icon="fork" reason={reasons.fork} onClick={() => onAsk("fork")}>
          Fork from {name}
        </ActionButton>
        <ActionButton {...button} icon="edit" reason={null} onClick={() => onAsk("edit")}>
          Change {name}
        </ActionButton>
        <ActionButton
          {...button}
          icon="trash"
          reason={reasons.delete}
          onClick={() => onAsk("delete")}
        >
          Delete {name}
        </ActionButton>
      </div>
    </li>
  );
}

interface HereRowProps {
  row: TreeRow;
  lanes: number;
  guest: Guest;
  /** The name of the snapshot that it comes from. */
  before: string | null;
  children?: ComponentChildren;
}

/** The guest as it is now. */
export function HereRow({ row, lanes, guest, before, children }: HereRowProps) {
  return (
    <li class="snapshot here">
      <TreeLines row={row} lanes={lanes} />
      <div class="snapshot-text">
        <p class="snapshot-head">
          <Icon name="here" />
          <b>You are here</b>
        </p>
        <p class="device-facts">
          {guest.name} as it is now{before !== null && <>, after “{before}”</>}
        </p>
        {children}
      </div>
    </li>
  );
}

/** As the style sheet has it, too. */
const LANE_WIDTH = 16;
/** Where a row's mark is, from its top. */
const MARK_Y = 22;
/** The drawing gets no wider, however many branches there are. */
export const MOST_LANES = 6;

/** The part of the drawing that lies in one row. */
function TreeLines({ row, lanes }: { row: TreeRow; lanes: number }) {
  const xOf = (lane: number) => LANE_WIDTH * (Math.min(lane, MOST_LANES - 1) + 0.5);
  const x = xOf(row.lane);
  const passing = [...new Set(row.passing.map(xOf))];
  return (
    <div class={`tree-lines lanes-${lanes}`}>
      <svg aria-hidden="true">
        {passing.map((it) => <line key={it} x1={it} x2={it} y1="0" y2="100%" />)}
        {row.from !== null && (
          <path
            d={row.from === row.lane
              ? `M${x} 0V${MARK_Y}`
              : `M${xOf(row.from)} 0C${xOf(row.from)} ${MARK_Y} ${x} 0 ${x} ${MARK_Y}`}
          />
        )}
        {row.goesOn && <line x1={x} x2={x} y1={MARK_Y} y2="100%" />}
        {row.snapshot === null ? <circle class="tree-here" cx={x} cy={MARK_Y} r="6" /> : (
          <circle
            class={row.snapshot.memory ? "tree-memory" : "tree-disks"}
            cx={x}
            cy={MARK_Y}
            r="5"
          />
        )}
      </svg>
    </div>
  );
}
