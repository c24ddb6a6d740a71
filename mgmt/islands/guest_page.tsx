import { useEffect, useState } from "preact/hooks";
import { isAllowed, phaseOf } from "../../hypervisor/supervisor/api/actions.ts";
import type {
  Figures,
  Guest,
  Host,
  Peer,
  SnapshotTree,
  Task,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { CloudInitPanel } from "../client/cloud_init_panel.tsx";
import { DevicePanels } from "../client/device_panels.tsx";
import { Confirm } from "../client/dialog.tsx";
import { GoneGuest } from "../client/gone_guest.tsx";
import { type Act, isPending, perform, reasonAgainst } from "../client/guest_actions.ts";
import { GuestSettings } from "../client/guest_settings.tsx";
import { LifeButtons } from "../client/life_buttons.tsx";
import { LifeDialogs } from "../client/life_dialogs.tsx";
import { useLive } from "../client/live.ts";
import { taskOf, useShownTask, useTasks } from "../client/live_tasks.ts";
import { follow, listenForKeys } from "../client/shortcuts.ts";
import { SnapshotPanel } from "../client/snapshot_panel.tsx";
import { TaskPanel } from "../client/task_panel.tsx";
import { Terminal } from "../client/terminal.tsx";
import { formatMiB } from "../components/format.ts";
import { HostProblem } from "../components/gauges.tsx";
import { StateBadge } from "../components/state_badge.tsx";

interface GuestPageProps {
  host: Host;
  guest: Guest;
  figures: Figures[];
  snapshots: SnapshotTree;
  tasks: Task[];
  peers: Peer[];
}

type Asks = "force" | "reset" | "delete" | "fork" | "move" | "upgrade";

export default function GuestPage(props: GuestPageProps) {
  const live = useLive({ host: props.host, guests: [props.guest] });
  const guest = live.guest(props.guest.id);
  const tasks = useTasks(props.tasks);
  const shown = useShownTask(tasks, props.guest.id);
  const [asks, setAsks] = useState<Asks | null>(null);
  useEffect(() =>
    listenForKeys((keys) => {
      if (keys === "t") {
        document.querySelector<HTMLElement>(".xterm-helper-textarea")?.focus();
        return true;
      }
      if (keys === "s" && guest && reasonAgainst(guest, "start") === null) {
        void perform(guest, "start");
        return true;
      }
      return false;
    }), [guest]);

  if (!guest) return <GoneGuest guest={props.guest} tasks={tasks} />;

  const phase = phaseOf(guest);
  const task = taskOf(tasks, guest.id);
  const button = (act: Act) => ({
    reason: reasonAgainst(guest, act),
    isBusy: isPending(guest, act),
  });
  return (
    <>
      <header class="page-head guest-head">
        <div>
          <p class="crumbs">
            <a href="/">Guests</a>
          </p>
          <h1>
            {guest.name} <StateBadge state={guest.state} isPaused={guest.pausedFor !== null} />
          </h1>
        </div>
        <div class="row actions" role="group" aria-label={`Actions for ${guest.name}`}>
          <ActionButton
            {...button("start")}
            icon="start"
            kind={isAllowed("start", guest.state) ? "primary" : undefined}
            onClick={() => void perform(guest, "start")}
          >
            Start
          </ActionButton>
          {phase === "stopping" || phase === "paused"
            ? (
              <ActionButton
                {...button("force")}
                icon="stop"
                kind="danger"
                onClick={() => setAsks("force")}
              >
                Force off
              </ActionButton>
            )
            : (
              <ActionButton
                {...button("stop")}
                icon="power"
                onClick={() => void perform(guest, "stop")}
              >
                Stop
              </ActionButton>
            )}
          {phase === "paused"
            ? (
              <ActionButton
                {...button("resume")}
                icon="start"
                onClick={() => void perform(guest, "resume")}
              >
                Resume
              </ActionButton>
            )
            : (
              <ActionButton
                {...button("pause")}
                icon="pause"
                onClick={() => void perform(guest, "pause")}
              >
                Pause
              </ActionButton>
            )}
          <ActionButton {...button("reset")} icon="reset" onClick={() => setAsks("reset")}>
            Reset
          </ActionButton>
          <LifeButtons guest={guest} task={task} onAsk={setAsks} />
          <ActionButton
            {...button("delete")}
            icon="trash"
            kind="quiet"
            onClick={() => setAsks("delete")}
          >
            Delete
          </ActionButton>
        </div>
      </header>
      <HostProblem host={live.host} />
      {guest.error !== null && (
        <div class="banner" role="alert">
          <b>{guest.state === "failed" ? "It failed." : "Its last run failed."}</b> {guest.error}
        </div>
      )}
      <PausedBanner guest={guest} host={live.host} />
      {shown && <TaskPanel key={shown.id} task={shown} guests={live.guests} />}
      <div class="guest-parts">
        <Terminal guestId={guest.id} name={guest.name} isOn={isAllowed("console", guest.state)} />
        <div class="facts-column">
          <GuestSettings guest={guest} host={live.host} />
          <CloudInitPanel guest={guest} />
        </div>
      </div>
      <DevicePanels guest={guest} host={live.host} figures={props.figures} />
      <SnapshotPanel guest={guest} tree={props.snapshots} task={task} />
      <LifeDialogs
        guest={guest}
        host={live.host}
        peers={props.peers}
        tree={props.snapshots}
        asks={asks === "fork" || asks === "move" || asks === "upgrade" ? asks : null}
        onDone={() => setAsks(null)}
      />
      <Confirm
        title={`Force ${guest.name} off?`}
        verb="Force off"
        isOpen={asks === "force"}
        onClose={() => setAsks(null)}
        onConfirm={() => void perform(guest, "force")}
      >
        {phase === "paused"
          ? "While it is paused it cannot power off by itself. "
          : "It was asked to power off and has not done so yet. "}
        Forcing it off is like pulling its plug: what it has not written to its disks is lost
      </Confirm>
      <Confirm
        title={`Reset ${guest.name}?`}
        verb="Reset"
        isOpen={asks === "reset"}
        onClose={() => setAsks(null)}
        onConfirm={() => void perform(guest, "reset")}
      >
        It ends at once and starts again. What it has not written to its disks is lost
      </Confirm>
      <Confirm
        title={`Delete ${guest.name}?`}
        verb={`Delete ${guest.name}`}
        isOpen={asks === "delete"}
        onClose={() => setAsks(null)}
        onConfirm={async () => {
          if (await perform(guest, "delete")) follow("/");
        }}
      >
        {guest.disks.length === 0
          ? "This cannot be undone"
          : "Its disks and everything on them are deleted too. This cannot be undone"}
      </Confirm>
    </>
  );
}

/** Less than this free on the host, and a guest that waits most likely waits for room. */
const LITTLE_ROOM_MIB = 512;

/** Why a guest is paused, and what to do. */
function PausedBanner({ guest, host }: { guest: Guest; host: Host }) {
  if (guest.pausedFor === null) return null;
  return (
    <div class="banner" role="alert">
      <b>It is paused.</b> {guest.pausedFor}. {host.diskFreeMiB < LITTLE_ROOM_MIB
        ? (
          <>
            The host has {formatMiB(host.diskFreeMiB)} of storage left:{" "}
            <a href="/images">delete images</a>{" "}
            or guests that are not needed any more. It goes on by itself once there is room.
          </>
        )
        : "It goes on where it was when it is resumed."}
    </div>
  );
}
