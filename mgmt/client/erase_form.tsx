import type { DiskTarget, StorageDisk } from "../../hypervisor/supervisor/api/schemas.ts";
import { lostWords } from "../components/disk_words.ts";
import { call } from "./api.ts";
import { ConfirmField } from "./confirm_field.tsx";
import { FormEnd } from "./form_end.tsx";
import { takeStorage } from "./live_storage.ts";
import { addTask } from "./live_tasks.ts";
import { useForm } from "./use_form.ts";

interface EraseFormProps {
  disk: StorageDisk;
  what: "add" | "install";
  onDone: () => void;
}

/** Has a disk's serial number typed before all that is on it is lost. */
export function EraseForm({ disk, what, onDone }: EraseFormProps) {
  const { name, confirm, revision } = disk;
  const { errors, isBusy, submit } = useForm<DiskTarget>({
    check: (data) => {
      const typed = String(data.get("confirm")).trim();
      return Promise.resolve(
        typed === confirm
          ? { value: { disk: name, confirm, revision } }
          : { errors: { confirm: `Must be ${confirm}` } },
      );
    },
    send: async (body) => {
      if (what === "add") takeStorage(await call("mirrorStorage", { body }));
      else addTask(await call("installHost", { body }));
      onDone();
    },
  });
  const lost = lostWords(disk);
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        {what === "add"
          ? "The disk will hold all data of this host too, and the system to start from. Guests run on while it is brought in step"
          : "The system is copied to the disk, with this host’s settings and an empty pool. Guests and images stay where they are: move or upload them once it has been started from there"}
      </p>
      {lost.length > 0
        ? (
          <div class="banner">
            <b>All that is on {name} will be lost:</b>
            <ul class="lost">
              {lost.map((it) => <li key={it}>{it}</li>)}
            </ul>
          </div>
        )
        : <p>Nothing is on {name}</p>}
      <ConfirmField
        id="erase-confirm"
        label={`Its serial number, ${confirm}`}
        error={errors.confirm}
      />
      <FormEnd
        verb={what === "add" ? "Erase and add" : "Erase and install"}
        isBusy={isBusy}
        onCancel={onDone}
        isDanger
      />
    </form>
  );
}
