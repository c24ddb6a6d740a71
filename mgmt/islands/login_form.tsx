import { useRef, useState } from "preact/hooks";
import { call, isApiError, messageOf } from "../client/api.ts";
import { Field } from "../client/field.tsx";
import { useHydrated } from "../client/hydrated.ts";

export default function LoginForm({ next }: { next: string }) {
  const input = useRef<HTMLInputElement>(null);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const isHydrated = useHydrated();

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    const password = input.current!.value;
    if (password === "") return fail("Type the password");
    setBusy(true);
    setError("");
    try {
      await call("login", { body: { password } });
      location.assign(next);
    } catch (error) {
      setBusy(false);
      if (isApiError(error) && error.problem.code === "setup_needed") {
        return location.assign("/setup");
      }
      fail(messageOf(error));
    }
  };
  const fail = (text: string) => {
    setError(text);
    input.current!.select();
    input.current!.focus();
  };

  return (
    <form class="stack" method="post" onSubmit={submit} noValidate f-client-nav={false}>
      {/* Password managers want a name to go with it. */}
      <input type="text" name="username" value="admin" autoComplete="username" hidden readOnly />
      <Field id="password" label="Administrator's password" error={error}>
        {(attributes) => (
          <input
            {...attributes}
            ref={input}
            type="password"
            name="password"
            autoComplete="current-password"
            autoFocus
          />
        )}
      </Field>
      <p class="unseen" role="alert">{error}</p>
      <button
        type="submit"
        class="button primary wide"
        disabled={!isHydrated}
        aria-busy={isBusy ? "true" : undefined}
      >
        {isBusy ? "Signing in" : "Sign in"}
      </button>
    </form>
  );
}
