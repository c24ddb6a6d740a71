import { useEffect, useState } from "preact/hooks";
import { call, messageOf } from "../client/api.ts";
import { Dialog } from "../client/dialog.tsx";
import { useHydrated } from "../client/hydrated.ts";
import { connection, guestsNow } from "../client/live.ts";
import { useAlarms } from "../client/live_storage.ts";
import { useTasks } from "../client/live_tasks.ts";
import { follow, listenForKeys, SHORTCUTS } from "../client/shortcuts.ts";
import { TaskList } from "../client/task_list.tsx";
import { toggleTheme } from "../client/theme.ts";
import { toast } from "../client/toasts.ts";
import { uploads } from "../client/uploads.ts";
import { Icon } from "../components/icons.tsx";
import { shortWords } from "../components/task_words.ts";

const CONNECTION = {
  connecting: "Connecting to the host",
  live: "Live",
  lost: "Connection lost: trying again",
} as const;

/** What the sidebar offers besides links. */
export default function Controls() {
  const [shows, setShows] = useState<"help" | "tasks" | null>(null);
  const close = () => setShows(null);
  useEffect(() =>
    listenForKeys((keys) => {
      switch (keys) {
        case "g g":
          follow("/");
          return true;
        case "g i":
          follow("/images");
          return true;
        case "g h":
          follow("/hosts");
          return true;
        case "g d":
          follow("/storage");
          return true;
        case "g s":
          follow("/settings/network");
          return true;
        case "g l":
          follow("/log");
          return true;
        case "g u":
          follow("/update");
          return true;
        case "u":
          setShows("tasks");
          return true;
        case "n":
          follow("/guests/new");
          return true;
        case "?":
          setShows("help");
          return true;
      }
      return false;
    }), []);

  useEffect(() => {
    if (hasPage) focusPage();
    hasPage = true;
  }, []);

  const isHydrated = useHydrated();
  const link = isHydrated ? connection.value : "connecting";
  const sending = isHydrated ? uploads.value : [];
  const sent = sending.reduce((sum, it) => sum + it.sentBytes, 0);
  const total = sending.reduce((sum, it) => sum + it.totalBytes, 0);
  const tasks = useTasks();
  const alarms = useAlarms();
  const underWay = tasks.filter(({ state }) => state === "running");
  return (
    <div class="controls">
      {alarms.length > 0 && (
        <a class="controls-alarm" href="/storage" title={alarms[0]}>
          {alarms.length === 1 ? "An alarm of a disk" : `${alarms.length} alarms of disks`}
        </a>
      )}
      {underWay.length > 0 && (
        <button
          type="button"
          class="controls-tasks"
          onClick={() => setShows("tasks")}
        >
          {shortWords(underWay)}
        </button>
      )}
      {sending.length > 0 && (
        <a class="controls-upload" href="/images">
          Uploading, {total === 0 ? 0 : Math.floor(100 * sent / total)} %
        </a>
      )}
      <p class={`connection ${link}`} role="status">
        <svg viewBox="0 0 12 12" aria-hidden="true">
          {link === "live" ? <circle cx="6" cy="6" r="4" /> : <path d="M6 2v5M6 9.5v.5" />}
        </svg>
        <span>{CONNECTION[link]}</span>
      </p>
      <div class="controls-row">
        <button
          type="button"
          class="button quiet small"
          onClick={() => setShows("tasks")}
          title="Tasks (u)"
        >
          <Icon name="tasks" />
          <span class="unseen">Tasks</span>
        </button>
        <button
          type="button"
          class="button quiet small"
          onClick={toggleTheme}
          title="Light or dark"
        >
          <span class="when-dark">
            <Icon name="light" />
          </span>
          <span class="when-light">
            <Icon name="dark" />
          </span>
          <span class="unseen">Switch between light and dark</span>
        </button>
        <button
          type="button"
          class="button quiet small"
          onClick={() => setShows("help")}
          title="Keys (?)"
        >
          <Icon name="help" />
          <span class="unseen">Keyboard shortcuts</span>
        </button>
        <button type="button" class="button quiet small" onClick={signOut} title="Sign out">
          <Icon name="leave" />
          <span class="unseen">Sign out</span>
        </button>
      </div>
      <Dialog title="Tasks" isOpen={shows === "tasks"} onClose={close}>
        <TaskList tasks={tasks} guests={guestsNow()} onLeave={close} />
        <div class="row end">
          <button type="button" class="button" onClick={close}>Close</button>
        </div>
      </Dialog>
      <Dialog title="Keyboard shortcuts" isOpen={shows === "help"} onClose={close}>
        {SHORTCUTS.map(({ where, list }) => (
          <section class="keys" key={where}>
            <h3>{where}</h3>
            <dl>
              {list.map(({ keys, what }) => (
                <div key={what}>
                  <dt>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <div class="row end">
          <button type="button" class="button" onClick={close}>Close</button>
        </div>
      </Dialog>
    </div>
  );
}

/** Whether another page was shown here before, without loading. */
let hasPage = false;

/** Takes the focus to a page that came without loading, as loading it would have done. */
function focusPage(): void {
  const main = document.getElementById("main");
  const first = main?.querySelector<HTMLElement>("[autofocus]") ?? main;
  first?.focus({ preventScroll: true });
}

async function signOut(): Promise<void> {
  try {
    await call("logout", {});
    location.assign("/login");
  } catch (error) {
    toast("problem", messageOf(error));
  }
}
