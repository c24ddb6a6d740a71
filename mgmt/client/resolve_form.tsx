import type { ComponentChildren } from "preact";
import type { ResolveMove, UnsettledMove } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { ConfirmField } from "./confirm_field.tsx";
import { FormEnd } from "./form_end.tsx";
import { peerWords } from "./move_words.ts";
import { toast } from "./toasts.ts";
import { useForm } from "./use_form.ts";

/** Says whose a guest is, in the place of a host that never will. */
export function ResolveForm({ move, onDone }: { move: UnsettledMove; onDone: () => void }) {
  const { id, guestName } = move;
  const peer = peerWords(move);
  const { errors, isBusy, submit } = useForm<ResolveMove>({
    check: (data) => {
      const runs = data.get("runs");
      const confirm = String(data.get("confirm")).trim();
      if (runs !== "here" && runs !== "there") {
        return Promise.resolve({ errors: { runs: "Choose one" } });
      }
      if (confirm !== guestName) {
        return Promise.resolve({ errors: { confirm: `Must be ${guestName}` } });
      }
      return Promise.resolve({ value: { runs, confirm } });
    },
    send: async (body) => {
      await call("resolveMove", { params: { id }, body });
      toast("done", body.runs === "here" ? `${guestName} is here` : `Forgot ${guestName} here`);
      onDone();
    },
  });
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="dialog-text">
        As soon as {peer} answers, it says so itself. Only where it never will, say it in its place
      </p>
      <fieldset class="choices">
        <legend class="unseen">Where the guest is</legend>
        <Choice value="here" title={`${peer} is gone for good: it is here`}>
          It can be started here, from its disks as they were handed over. If {peer}{" "}
          comes back all the same and has run it, what it has is stopped and set aside there
        </Choice>
        <Choice value="there" title={`It is on ${peer}: forget it here`}>
          What is here of it is deleted, with its disks and snapshots, but for what is on a store
        </Choice>
        {errors.runs && <p class="field-error" role="alert">{errors.runs}</p>}
      </fieldset>
      <ConfirmField id="resolve-confirm" label="Its name once more" error={errors.confirm} />
      <FormEnd verb="Settle it" isBusy={isBusy} onCancel={onDone} isDanger />
    </form>
  );
}

interface ChoiceProps {
  value: ResolveMove["runs"];
  title: string;
  children: ComponentChildren;
}

function Choice({ value, title, children }: ChoiceProps) {
  return (
    <label class="choice">
      <input type="radio" name="runs" value={value} />
      <span>
        <b>{title}</b>
        <span class="choice-facts">{children}</span>
      </span>
    </label>
  );
}
