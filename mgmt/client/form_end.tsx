interface FormEndProps {
  /** What the button says. */
  verb: string;
  isBusy: boolean;
  onCancel: () => void;
  isDanger?: boolean;
}

/** The buttons below a dialog's form. */
export function FormEnd({ verb, isBusy, onCancel, isDanger = false }: FormEndProps) {
  return (
    <div class="row end">
      <button type="button" class="button" onClick={onCancel}>Cancel</button>
      <button
        type="submit"
        class={`button ${isDanger ? "danger" : "primary"}`}
        aria-busy={isBusy ? "true" : undefined}
      >
        {verb}
      </button>
    </div>
  );
}
