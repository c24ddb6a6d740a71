import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon, type IconName } from "../components/icons.tsx";

interface ActionButtonProps {
  icon: IconName;
  children: ComponentChildren;
  onClick: () => void;
  /** Why it cannot be pressed now; null where it can. */
  reason: string | null;
  isBusy?: boolean;
  kind?: "primary" | "danger" | "quiet";
  /** Shows the icon alone; the text stays for those who do not see it. */
  isSmall?: boolean;
}

/** A button that, while it cannot be pressed, can still be reached and tells why. */
export function ActionButton(props: ActionButtonProps) {
  const id = useId();
  const { icon, children, onClick, reason, isBusy = false, kind = "", isSmall = false } = props;
  const isOff = reason !== null || isBusy;
  return (
    <span class="tip-holder">
      <button
        type="button"
        class={`button ${kind} ${isSmall ? "small" : ""}`}
        aria-disabled={isOff ? "true" : undefined}
        aria-busy={isBusy ? "true" : undefined}
        aria-describedby={reason ? id : undefined}
        onClick={() => {
          if (!isOff) onClick();
        }}
      >
        <Icon name={icon} />
        <span class={isSmall ? "unseen" : undefined}>{children}</span>
      </button>
      {reason
        ? <span class="tip" role="tooltip" id={id}>{reason}</span>
        : isSmall && <span class="tip" aria-hidden="true">{children}</span>}
    </span>
  );
}
