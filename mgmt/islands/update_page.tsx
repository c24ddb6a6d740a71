import { useState } from "preact/hooks";
import type { AtShutdown, Host, HostUpdateView } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, messageOf } from "../client/api.ts";
import { Confirm, Dialog } from "../client/dialog.tsx";
import { Field } from "../client/field.tsx";
import { useLive } from "../client/live.ts";
import { takeAnswer, useUpdate } from "../client/live_update.ts";
import { RestartForm } from "../client/restart_form.tsx";
import { cancelSystem, isSending } from "../client/system_upload.ts";
import { toast } from "../client/toasts.ts";
import { UpdateForm } from "../client/update_form.tsx";
import { formatBytes } from "../components/format.ts";
import {
  failureOf,
  isUnderWay,
  lastWords,
  phaseWords,
  SYSTEM_WORDS,
} from "../components/update_words.ts";

export default function UpdatePage(props: { host: Host; update: HostUpdateView }) {
  const { host } = useLive({ host: props.host });
  const update = useUpdate(props.update);
  const [asks, setAsks] = useState<"restart" | "undo" | null>(null);
  const close = () => setAsks(null);
  const { running, trial, ready, undo, last, whyNot } = update;
  const busy = isUnderWay(update) || isSending.value;
  const failure = busy ? null : failureOf(update);
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Update</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>The system of this host, and newer ones</span>
          </p>
        </div>
        <div class="row">
          <button type="button" class="button" onClick={() => setAsks("restart")}>
            Restart the host
          </button>
        </div>
      </header>
      {last?.outcome === "fell back" && <p class="banner" role="alert">{lastWords(last)}</p>}
      {failure !== null && <p class="banner" role="alert">{failure}</p>}
      {trial !== null && (
        <p class="banner" role="status">
          Version {running.version} has to prove itself yet: it waits for{" "}
          {trial.waitsFor}, and the host goes back by itself in {trial.secondsLeft} s
        </p>
      )}
      {busy && <Progress update={update} />}
      {ready !== null && (
        <section class="update-part" aria-label="Ready">
          <h2>Version {ready.version} is ready</h2>
          <p>
            The next restart tries it. If it does not prove itself, the host goes back by itself
          </p>
          <div class="row">
            <button type="button" class="button primary" onClick={() => setAsks("restart")}>
              Restart now
            </button>
            <button type="button" class="button" onClick={() => void act("takeUpdateBack")}>
              Do not try it
            </button>
          </div>
        </section>
      )}
      <Systems update={update} onUndo={() => setAsks("undo")} />
      {whyNot === null
        ? <UpdateForm whyNot={busy ? "Another update is being taken in" : null} />
        : (
          <section class="empty">
            <h2>This host cannot be updated</h2>
            <p>{whyNot}</p>
          </section>
        )}
      <GuestsAtShutdown host={host} />
      <Dialog title="Restart the host" isOpen={asks === "restart"} onClose={close}>
        <RestartForm onDone={close} />
      </Dialog>
      <Confirm
        title={`Go back to version ${undo?.version ?? ""}?`}
        verb="Go back"
        isOpen={asks === "undo" && undo !== null}
        onClose={close}
        onConfirm={() => void act("undoUpdate")}
      >
        The next restart starts it. Guests, images and settings stay as they are
      </Confirm>
    </>
  );
}

async function act(operation: "takeUpdateBack" | "undoUpdate"): Promise<void> {
  try {
    await takeAnswer(call(operation, {}));
  } catch (error) {
    toast("problem", messageOf(error));
  }
}

/** How far an update is, wherever it was begun. */
function Progress({ update }: { update: HostUpdateView }) {
  const { job, pull } = update;
  const isTold = job !== null && !job.isOver && job.total > 0;
  return (
    <section class="task-panel" aria-label="Update under way">
      <div class="panel-head">
        <h2>Taking an update in</h2>
        <button type="button" class="button small" onClick={() => void cancelSystem()}>
          Cancel <span class="unseen">the update</span>
        </button>
      </div>
      {pull !== null && !pull.isOver && <p class="update-url">{pull.url}</p>}
      <p class="task-phase">
        <span>{phaseWords(update)}</span>
        {isTold && <span class="number">{formatBytes(job.bytes)} of {formatBytes(job.total)}</span>}
      </p>
      <progress
        aria-label="Taking an update in"
        {...(isTold && { value: job.bytes / job.total, max: 1 })}
      />
    </section>
  );
}

function Systems({ update, onUndo }: { update: HostUpdateView; onUndo: () => void }) {
  const { running, systems, good, ready, undo, last } = update;
  const names = ["image", "a", "b"] as const;
  return (
    <section class="update-part" aria-label="Systems">
      <h2>Version {running.version} runs</h2>
      {last !== null && last.outcome !== "fell back" && (
        <p>{lastWords(last)}, {last.at.slice(0, 16).replace("T", " ")} UTC</p>
      )}
      <ul class="update-systems">
        {names.map((name) => (
          <li key={name}>
            <b>{SYSTEM_WORDS[name]}</b>
            <span>{systems[name]?.version ?? "empty"}</span>
            {running.system === name && <span class="disk-mark disk-mark-data">Runs</span>}
            {good === name && <span class="disk-mark">Starts</span>}
            {ready?.system === name && <span class="disk-mark">Is tried next</span>}
          </li>
        ))}
      </ul>
      {undo !== null && (
        <div class="row">
          <button type="button" class="button" onClick={onUndo}>
            Go back to version {undo.version}
          </button>
        </div>
      )}
    </section>
  );
}

function GuestsAtShutdown({ host }: { host: Host }) {
  const change = async (event: Event) => {
    const atShutdown = (event.currentTarget as HTMLSelectElement).value as AtShutdown;
    try {
      await call("changeHost", { body: { atShutdown } });
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  return (
    <section class="update-part" aria-label="Guests">
      <h2>Guests</h2>
      <Field
        id="at-shutdown"
        label="When the host restarts or powers off, guests that start with it"
        hint="A guest can have a choice of its own, in its settings"
      >
        {(attributes) => (
          <select {...attributes} value={host.atShutdown} onChange={change}>
            <option value="save">are saved, and go on with its next start</option>
            <option value="shutdown">are shut down, and started again</option>
          </select>
        )}
      </Field>
    </section>
  );
}
