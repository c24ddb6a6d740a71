/** A D whose counter is a prompt. */
export function LogoMark(props: { class?: string }) {
  return (
    <svg class={`mark ${props.class ?? ""}`} viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-body" d="M5 3h10.5a13 13 0 0 1 0 26H5z" />
      <path class="mark-prompt" d="M10.5 10.5 16 16l-5.5 5.5M17.5 21.5h4" />
    </svg>
  );
}
