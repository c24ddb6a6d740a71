import { useState } from "preact/hooks";
import type {
  Crash,
  Host,
  LogLevel,
  LogPage as Log,
  LogRecord,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { CrashList } from "../client/crash_list.tsx";
import { useHydrated } from "../client/hydrated.ts";
import { useLive } from "../client/live.ts";
import { useLog } from "../client/live_log.ts";
import { Icon } from "../components/icons.tsx";
import { LogBadge } from "../components/log_badge.tsx";

const LEVELS: [LogLevel, string][] = [
  ["error", "Errors"],
  ["warning", "Warnings and errors"],
  ["info", "All but debugging"],
  ["debug", "Everything"],
];

export default function LogPage(props: { host: Host; log: Log | string; crashes: Crash[] }) {
  const { host } = useLive({ host: props.host });
  return (
    <>
      <header class="page-head">
        <div>
          <h1>Log</h1>
          <p class="page-sub">
            <b>{host.name}</b>
            <span>What the host, its services and its kernel tell</span>
          </p>
        </div>
        <div class="row">
          <a
            class="button"
            href="/api/v1/host/support-bundle"
            download
            f-client-nav={false}
            title="Log, hardware and state of this host, without secrets, for who is to help"
          >
            <Icon name="bundle" />
            <span>Support bundle</span>
          </a>
        </div>
      </header>
      <CrashList seed={props.crashes} />
      {typeof props.log === "string"
        ? (
          <section class="empty">
            <h2>The log is kept elsewhere</h2>
            <p>{props.log}</p>
          </section>
        )
        : <Records log={props.log} />}
    </>
  );
}

function Records({ log }: { log: Log }) {
  const [level, setLevel] = useState<LogLevel>("info");
  const [isFollowing, setFollowing] = useState(true);
  const isHydrated = useHydrated();
  const { records, missed, isAll, showEarlier } = useLog(log, { level, isFollowing });
  return (
    <section aria-label="Records">
      <div class="find">
        <label for="log-level">Show</label>
        <select
          id="log-level"
          disabled={!isHydrated}
          onChange={({ currentTarget }) => setLevel(currentTarget.value as LogLevel)}
        >
          {LEVELS.map(([value, words]) => (
            <option key={value} value={value} selected={value === level}>{words}</option>
          ))}
        </select>
        <label class="follow">
          <input
            type="checkbox"
            disabled={!isHydrated}
            checked={isFollowing}
            onChange={({ currentTarget }) => setFollowing(currentTarget.checked)}
          />
          Follow
        </label>
      </div>
      {missed > 0 && <p class="banner" role="status">{missed} records came too fast to be shown</p>}
      {records.length === 0
        ? <p class="nothing">Nothing of this kind has been told</p>
        : (
          <div role="log" aria-label="The log, newest first">
            <ol class="log">{records.map((it) => <Row key={it.seq} record={it} />)}</ol>
          </div>
        )}
      {!isAll && (
        <ActionButton icon="revert" reason={null} onClick={() => void showEarlier()}>
          Show earlier ones
        </ActionButton>
      )}
    </section>
  );
}

function Row({ record: { time, level, room, message, fields } }: { record: LogRecord }) {
  const list = Object.entries(fields);
  return (
    <li class={`log-row log-${level}`}>
      <time dateTime={time} title={time}>{time.slice(0, 19).replace("T", " ")}</time>
      <LogBadge level={level} />
      <span class="log-room">{room}</span>
      <span class="log-text">
        {message}
        {list.length > 0 && (
          <span class="log-fields">
            {list.map(([name, value]) => (
              <span key={name}>
                {name}=<b>{String(value)}</b>
              </span>
            ))}
          </span>
        )}
      </span>
    </li>
  );
}
