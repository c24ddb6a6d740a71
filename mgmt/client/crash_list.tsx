import { useState } from "preact/hooks";
import type { Crash, CrashReport } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatTime } from "../components/format.ts";
import { ActionButton } from "./action_button.tsx";
import { call, messageOf } from "./api.ts";
import { Confirm, Dialog } from "./dialog.tsx";
import { takeCrashes, useCrashes } from "./live_crashes.ts";
import { toast } from "./toasts.ts";

/** What crashed on the host; nothing where nothing did. */
export function CrashList({ seed }: { seed: Crash[] }) {
  const list = useCrashes(seed);
  const [report, setReport] = useState<CrashReport | null>(null);
  const [doomed, setDoomed] = useState<Crash | null>(null);
  const show = async ({ id }: Crash) => {
    try {
      setReport(await call("getCrash", { params: { id } }));
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  const remove = async ({ id }: Crash) => {
    try {
      await call("deleteCrash", { params: { id } });
      takeCrashes(list.filter((it) => it.id !== id));
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };
  return (
    <>
      {list.length > 0 && (
        <table class="list crashes">
          <caption>Crashes</caption>
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">When</th>
              <th scope="col">Of</th>
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map((crash) => (
              <tr key={crash.id}>
                <th scope="row">{crash.title}</th>
                <td data-label="When">{formatTime(crash.time)}</td>
                <td data-label="Of">{crash.guest ?? "The host’s kernel"}</td>
                <td class="acts">
                  <ActionButton
                    icon="expand"
                    kind="quiet"
                    isSmall
                    reason={null}
                    onClick={() => void show(crash)}
                  >
                    Show {crash.title}
                  </ActionButton>
                  <ActionButton
                    icon="trash"
                    kind="quiet"
                    isSmall
                    reason={null}
                    onClick={() => setDoomed(crash)}
                  >
                    Forget {crash.title}
                  </ActionButton>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Dialog title="What crashed" isOpen={report !== null} onClose={() => setReport(null)}>
        <pre class="crash-text" tabIndex={0}>{report?.text}</pre>
        <div class="row end">
          <button type="button" class="button" onClick={() => setReport(null)}>Close</button>
        </div>
      </Dialog>
      <Confirm
        title="Forget this crash?"
        verb="Forget crash"
        isOpen={doomed !== null}
        onClose={() => setDoomed(null)}
        onConfirm={() => doomed && void remove(doomed)}
      >
        {doomed?.title}. What is known of it is deleted
      </Confirm>
    </>
  );
}
