import { useState } from "preact/hooks";
import { MOVE_COMPRESSION } from "../../hypervisor/supervisor/api/limits.ts";
import type { Guest, Host, MoveGuest, Peer } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatMiB } from "../components/format.ts";
import { call, loadSchemas } from "./api.ts";
import { Check } from "./check.tsx";
import { ConfirmField } from "./confirm_field.tsx";
import { Field } from "./field.tsx";
import { FormEnd } from "./form_end.tsx";
import { type Checked, checkForm } from "./forms.ts";
import { addTask } from "./live_tasks.ts";
import { More } from "./more.tsx";
import { cautionsOf, diskWords } from "./move_words.ts";
import { numberOf, useForm } from "./use_form.ts";

interface MoveFormProps {
  guest: Guest;
  host: Host;
  peers: Peer[];
  /** How many it has. */
  snapshots: number;
  onDone: () => void;
}

const MIB = 2 ** 20;
const LIMITS = [
  "bytesPerSecond",
  "allowedPauseMs",
  "withinSeconds",
  "slowDown",
  "force",
  "postCopy",
  "compress",
  "withoutSnapshots",
  "confirm",
];

const COMPRESSION_WORDS: Record<typeof MOVE_COMPRESSION[number], string> = {
  auto: "While the network is too slow",
  zstd: "Always",
  none: "Never",
};

/** Moves a running guest to another host. */
export function MoveForm({ guest, host, peers, snapshots, onDone }: MoveFormProps) {
  const [leavesSnapshots, setLeavesSnapshots] = useState(false);
  const { errors, isBusy, submit } = useForm<MoveGuest>({
    check: async (data): Promise<Checked<MoveGuest>> => {
      const { MoveGuest } = await loadSchemas();
      if (!data.has("peer")) return { errors: { peer: "Choose the host that it is to move to" } };
      if (data.has("confirm") && data.get("confirm") !== guest.name) {
        return { errors: { confirm: `Must be ${guest.name}` } };
      }
      return checkForm(MoveGuest, readMove(data));
    },
    send: async (body) => {
      addTask(await call("moveGuest", { params: { id: guest.id }, body }));
      onDone();
    },
    fieldOf: (code) => ({ peer_unreachable: "peer", peer_refused: "peer" })[code],
  });
  if (peers.length === 0) {
    return (
      <>
        <p class="dialog-text">
          This host knows no other one. First <a href="/hosts">pair it with another host</a>
        </p>
        <div class="row end">
          <button type="button" class="button" onClick={onDone}>Close</button>
        </div>
      </>
    );
  }
  const first = peers.find(({ reachable }) => reachable)?.id;
  const number = (
    name: string,
    { label, value, min, max, hint }: {
      label: string;
      value: string;
      min: number;
      max?: number;
      hint?: string;
    },
  ) => (
    <Field id={`move-${name}`} label={label} error={errors[name]} hint={hint}>
      {(attributes) => (
        <input
          {...attributes}
          name={name}
          type="number"
          inputMode="decimal"
          step="any"
          min={min}
          max={max}
          defaultValue={value}
        />
      )}
    </Field>
  );
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        {diskWords(guest, { snapshots })}
      </p>
      <fieldset class="choices">
        <legend class="unseen">Where it is to move</legend>
        {peers.map((peer) => (
          <PeerChoice
            key={peer.id}
            guest={guest}
            host={host}
            peer={peer}
            isFirst={peer.id === first}
          />
        ))}
        {errors.peer && <p class="field-error" role="alert">{errors.peer}</p>}
      </fieldset>
      <More title="More" errors={errors} fields={LIMITS}>
        <div class="two">
          {number("bytesPerSecond", {
            label: "At most, MiB per second",
            value: "",
            min: 0,
            hint: "Left empty: as many as there can be",
          })}
          {number("allowedPauseMs", {
            label: "Allowed pause, ms",
            value: "300",
            min: 1,
            max: 60_000,
            hint: "How long it may stand still at the end",
          })}
          {number("withinSeconds", {
            label: "Given up after, seconds",
            value: "3600",
            min: 1,
            max: 86_400,
            hint: "It then stays here and runs on",
          })}
          <Field
            id="move-compress"
            label="Compress its memory"
            error={errors.compress}
            hint="A slow network carries more of it so, and both hosts compute more"
          >
            {(attributes) => (
              <select {...attributes} name="compress">
                {MOVE_COMPRESSION.map((it) => (
                  <option key={it} value={it}>{COMPRESSION_WORDS[it]}</option>
                ))}
              </select>
            )}
          </Field>
        </div>
        <Check
          name="slowDown"
          isOn
          error={errors.slowDown}
          hint="Where it changes its memory faster than that can be sent"
        >
          Slow its CPUs down if need be
        </Check>
        <Check
          name="force"
          isOn={false}
          error={errors.force}
          hint="Where slowing it down is not enough: it then stands still for longer"
        >
          Move it even if the pause is longer than allowed
        </Check>
        <Check
          name="postCopy"
          isOn={false}
          error={errors.postCopy}
          hint="It runs there at once, however much memory it changes. Until all of it has followed it needs both hosts: if one of them or the network fails meanwhile, what it has not written to its disks is lost"
        >
          Have its memory follow after it has moved
        </Check>
        {snapshots > 0 && (
          <Check
            name="withoutSnapshots"
            isOn={false}
            error={errors.withoutSnapshots}
            hint="They are deleted here once it has moved, and there is no way back to them"
            onChange={setLeavesSnapshots}
          >
            {snapshots === 1 ? "Leave its snapshot out" : `Leave its ${snapshots} snapshots out`}
          </Check>
        )}
        {leavesSnapshots && (
          <ConfirmField
            id="move-confirm"
            label="Its name once more, to delete its snapshots"
            error={errors.confirm}
          />
        )}
      </More>
      <FormEnd verb="Move" isBusy={isBusy} onCancel={onDone} />
    </form>
  );
}

interface PeerChoiceProps {
  guest: Guest;
  host: Host;
  peer: Peer;
  isFirst: boolean;
}

function PeerChoice({ guest, host, peer, isFirst }: PeerChoiceProps) {
  const { id, name, reachable, memoryFreeMiB, diskFreeMiB, cpuModel } = peer;
  const facts = [
    memoryFreeMiB !== null && `${formatMiB(memoryFreeMiB)} of memory free`,
    diskFreeMiB !== null && `${formatMiB(diskFreeMiB)} of storage free`,
    cpuModel,
  ];
  const cautions = cautionsOf(peer, { guest, host });
  return (
    <label class={`choice ${reachable ? "" : "off"}`}>
      <input
        type="radio"
        name="peer"
        value={id}
        defaultChecked={isFirst}
        disabled={!reachable}
      />
      <span>
        <b>{name}</b>
        <span class="choice-facts">
          {reachable
            ? facts.filter(Boolean).join(" · ")
            : `Not reachable: ${peer.problem ?? "it does not answer"}`}
        </span>
        {cautions.map((text) => <span class="choice-caution" key={text}>{text}</span>)}
      </span>
    </label>
  );
}

/** The form's values as the API wants them; not checked yet. */
function readMove(data: FormData): unknown {
  const mib = numberOf(data, "bytesPerSecond");
  return {
    peer: String(data.get("peer")),
    bytesPerSecond: mib === null ? null : Math.round(mib * MIB),
    allowedPauseMs: numberOf(data, "allowedPauseMs"),
    withinSeconds: numberOf(data, "withinSeconds"),
    slowDown: data.has("slowDown"),
    force: data.has("force"),
    postCopy: data.has("postCopy"),
    compress: String(data.get("compress")),
    withoutSnapshots: data.has("withoutSnapshots"),
  };
}
