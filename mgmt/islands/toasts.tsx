import { Icon } from "../components/icons.tsx";
import { useHydrated } from "../client/hydrated.ts";
import { dismiss, toasts } from "../client/toasts.ts";

/** Messages, which screen readers read out as they come. */
export default function Toasts() {
  const isHydrated = useHydrated();
  const shown = isHydrated ? toasts.value : [];
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map(({ id, kind, text }) => (
        <div key={id} class={`toast ${kind}`}>
          <Icon name={kind === "done" ? "check" : "alert"} />
          <p>{text}</p>
          <button type="button" class="button quiet small" onClick={() => dismiss(id)}>
            <Icon name="close" />
            <span class="unseen">Close this message</span>
          </button>
        </div>
      ))}
    </div>
  );
}
