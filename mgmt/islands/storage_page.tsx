import { useState } from "preact/hooks";
import type {
  Host,
  HostStorage,
  PoolMember,
  StorageDisk,
  Task,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { call, messageOf } from "../client/api.ts";
import { Confirm, Dialog } from "../client/dialog.tsx";
import { DiskCard } from "../client/disk_card.tsx";
import { EraseForm } from "../client/erase_form.tsx";
import { useLive } from "../client/live.ts";
import { takeStorage, useStorage } from "../client/live_storage.ts";
import { useTasks } from "../client/live_tasks.ts";
import { PoolPanel } from "../client/pool_panel.tsx";
import { CancelButton, TaskProgress } from "../client/task_progress.tsx";
import { toast } from "../client/toasts.ts";
import { doingWords } from "../components/task_words.ts";

export default function StoragePage(props: { host: Host; storage: HostStorage; tasks: Task[] }) {
  const { host } = useLive({ host: props.host });
  const storage = useStorage(props.storage);
  const installation = useTasks(props.tasks).find(({ kind, state }) =>
    kind === "install" && state === "running"
  );
  const [asks, setAsks] = useState<
    { what: "add" | "install"; disk: StorageDisk } | { what: "remove"; member: PoolMember } | null
  >(null);
  const close = () => setAsks(null);
  const erases = asks !== null && asks.what !== "remove" ? asks : null;
  const doomed = asks?.what === "remove" ? asks.member : null;
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Storage</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>The disks of this host, and what its data are on</span>
          </p>
        </div>
      </header>
      {storage.alarms.map((alarm) => <p key={alarm} class="banner" role="alert">{alarm}</p>)}
      {installation && (
        <section class="task-panel" aria-label="Installation">
          <div class="panel-head">
            <h2>{doingWords(installation)}</h2>
            <CancelButton task={installation} />
          </div>
          <TaskProgress task={installation} guests={[]} />
        </section>
      )}
      <PoolPanel storage={storage} onRemove={(member) => setAsks({ what: "remove", member })} />
      <h2 class="disks-title">Disks</h2>
      {storage.disks.map((disk) => (
        <DiskCard
          key={disk.name}
          disk={disk}
          storage={storage}
          busy={installation ? "An installation is under way" : null}
          onAdd={() => setAsks({ what: "add", disk })}
          onInstall={() => setAsks({ what: "install", disk })}
        />
      ))}
      <Dialog
        title={erases === null
          ? "Erase"
          : erases.what === "add"
          ? `Add ${erases.disk.name} to the pool`
          : `Install on ${erases.disk.name}`}
        isOpen={erases !== null}
        onClose={close}
      >
        {erases && <EraseForm {...erases} onDone={close} />}
      </Dialog>
      <Confirm
        title={`Take ${doomed?.disk ?? "the missing disk"} out?`}
        verb="Take it out"
        isOpen={doomed !== null}
        onClose={close}
        onConfirm={() => doomed && void remove(doomed, storage)}
      >
        All data stay on the other disk, and on that one alone. What is on this one can no longer be
        used
      </Confirm>
    </>
  );
}

async function remove({ disk, state }: PoolMember, { disks }: HostStorage): Promise<void> {
  const known = disks.find((it) => it.name === disk);
  try {
    const isThere = known !== undefined && state !== "missing";
    const body = isThere
      ? { disk: known.name, confirm: known.confirm }
      : { disk: null, confirm: null };
    takeStorage(await call("unmirrorStorage", { body }));
  } catch (error) {
    toast("problem", messageOf(error));
  }
}
