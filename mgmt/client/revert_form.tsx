import { useState } from "preact/hooks";
import type { Guest, Snapshot } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatTime } from "../components/format.ts";
import { call } from "./api.ts";
import { Check } from "./check.tsx";
import { FormEnd } from "./form_end.tsx";
import { addTask, whenEnded } from "./live_tasks.ts";
import { useForm } from "./use_form.ts";

interface RevertFormProps {
  guest: Guest;
  snapshot: Snapshot;
  onDone: () => void;
}

interface Wish {
  keeps: boolean;
  start: boolean;
}

/** Makes a guest what it was in a snapshot, and offers to keep what it is now in another one. */
export function RevertForm({ guest, snapshot, onDone }: RevertFormProps) {
  const isUp = guest.state === "running";
  const [isSaving, setSaving] = useState(false);
  const { errors, isBusy, submit } = useForm<Wish>({
    check: (data) =>
      Promise.resolve({ value: { keeps: data.has("keeps"), start: data.has("start") } }),
    send: async ({ keeps, start }) => {
      const params = { id: guest.id, snapshot: snapshot.id };
      if (keeps) {
        setSaving(true);
        try {
          if (!await keep(guest, snapshot)) return onDone();
        } finally {
          setSaving(false);
        }
      }
      addTask(await call("revertGuest", { params, body: { start } }));
      onDone();
    },
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        {guest.name} becomes what it was at{" "}
        {formatTime(snapshot.createdAt)}. What its disks hold now
        {isUp ? ", and what it is doing, " : " "}
        is lost. All of its snapshots stay
      </p>
      <Check name="keeps" isOn hint="So that there is a way back to it">
        Take a snapshot of it as it is now, first
      </Check>
      <Check
        name="start"
        isOn={isUp || snapshot.memory}
        hint={snapshot.memory
          ? "It goes on in the middle of what it did, now or at its next start"
          : "It boots, as the snapshot has no memory"}
      >
        It runs afterwards
      </Check>
      {isSaving && <p class="device-note" role="status">Its snapshot is being taken</p>}
      <FormEnd verb="Revert" isBusy={isBusy} onCancel={onDone} isDanger />
    </form>
  );
}

/** Keeps what a guest is now; false where that failed, which is told as of every task. */
async function keep(guest: Guest, { name }: Snapshot): Promise<boolean> {
  // Names have at most 64 characters, and there may be several before the same snapshot.
  const body = {
    name: `${formatTime(new Date().toISOString())}, before ${name}`.slice(0, 64).trim(),
  };
  const task = await call("createSnapshot", { params: { id: guest.id }, body });
  addTask(task);
  return (await whenEnded(task))?.state === "done";
}
