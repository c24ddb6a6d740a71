import type { LogLevel } from "../../hypervisor/supervisor/api/schemas.ts";

const LABELS: Record<LogLevel, string> = {
  error: "Error",
  warning: "Warning",
  info: "Info",
  debug: "Debug",
};

/** Each level has a shape, a colour and a word of its own, as guests' states have. */
export function LogBadge({ level }: { level: LogLevel }) {
  return (
    <span class={`log-level log-level-${level}`}>
      <svg class="state-shape" viewBox="0 0 12 12" aria-hidden="true">
        {level === "error" && <path d="M6 .8 11.7 11H.3z" />}
        {level === "warning" && <path d="M6 .6 11.4 6 6 11.4.6 6z" />}
        {level === "info" && <circle cx="6" cy="6" r="3.2" />}
        {level === "debug" && <circle cx="6" cy="6" r="1.8" />}
      </svg>
      {LABELS[level]}
    </span>
  );
}
