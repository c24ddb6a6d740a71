import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface DialogProps {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ComponentChildren;
}

/** The browser's own modal dialog: it keeps the focus and closes on Escape. */
export function Dialog({ title, isOpen, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    if (!element) return;
    if (isOpen && !element.open) element.showModal();
    if (!isOpen && element.open) element.close();
  }, [isOpen]);
  return (
    <dialog
      class="dialog"
      ref={dialog}
      aria-label={title}
      onClose={() => {
        // The event comes after the fact: it may be open again by then.
        if (!dialog.current?.open) onClose();
      }}
      onClick={(event) => {
        // The backdrop counts as the dialog itself; what is in it does not.
        if (event.target === dialog.current) onClose();
      }}
    >
      {isOpen && (
        <div class="dialog-body">
          <h2>{title}</h2>
          {children}
        </div>
      )}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  isOpen: boolean;
  /** What the button says, such as "Delete web-1". */
  verb: string;
  onConfirm: () => void;
  onClose: () => void;
  /** Nothing is lost by it. */
  isHarmless?: boolean;
  children: ComponentChildren;
}

export function Confirm(props: ConfirmProps) {
  return (
    <Dialog title={props.title} isOpen={props.isOpen} onClose={props.onClose}>
      <div class="dialog-text">{props.children}</div>
      <div class="row end">
        <button type="button" class="button" onClick={props.onClose}>Cancel</button>
        <button
          type="button"
          class={`button ${props.isHarmless ? "primary" : "danger"}`}
          onClick={() => {
            props.onClose();
            props.onConfirm();
          }}
        >
          {props.verb}
        </button>
      </div>
    </Dialog>
  );
}
