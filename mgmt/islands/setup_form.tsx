import { useState } from "preact/hooks";
import { call, fieldErrors, isApiError, messageOf } from "../client/api.ts";
import { Field } from "../client/field.tsx";
import { useHydrated } from "../client/hydrated.ts";

const SHORTEST = 10;

export default function SetupForm() {
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [isBusy, setBusy] = useState(false);
  const isHydrated = useHydrated();
  const [isShown, setShown] = useState(false);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    const form = event.target as HTMLFormElement;
    const data = new FormData(form);
    const code = String(data.get("code")).trim();
    const password = String(data.get("password"));
    const again = String(data.get("again"));
    const found: Record<string, string> = {};
    if (code === "") found.code = "Type the code from the host's screen";
    if (password.length < SHORTEST) found.password = `Take at least ${SHORTEST} characters`;
    else if (password !== again) found.again = "The two passwords differ";
    if (Object.keys(found).length > 0) return fail(form, found);
    setBusy(true);
    setErrors({});
    try {
      const { signedIn } = await call("setup", { body: { code, password } });
      location.assign(signedIn ? "/" : "/login?new");
    } catch (error) {
      setBusy(false);
      const isDone = isApiError(error) && error.problem.code === "setup_done";
      if (isDone) return location.assign("/login");
      const fields = fieldErrors(error);
      fail(form, Object.keys(fields).length > 0 ? fields : { code: messageOf(error) });
    }
  };
  const fail = (form: HTMLFormElement, found: Record<string, string>) => {
    setErrors(found);
    (form.elements.namedItem(Object.keys(found)[0]) as HTMLElement | null)?.focus();
  };

  const type = isShown ? "text" : "password";
  return (
    <form class="stack" method="post" onSubmit={submit} noValidate f-client-nav={false}>
      <Field
        id="code"
        label="Code on the host's screen"
        error={errors.code}
        hint="Capitals and dashes do not matter"
      >
        {(attributes) => (
          <input
            {...attributes}
            class="code"
            name="code"
            autoComplete="one-time-code"
            autoCapitalize="characters"
            spellcheck={false}
            autoFocus
          />
        )}
      </Field>
      <input type="text" name="username" value="admin" autoComplete="username" hidden readOnly />
      <Field
        id="password"
        label="New administrator's password"
        error={errors.password}
        hint={`At least ${SHORTEST} characters. A few words that do not belong together are good`}
      >
        {(attributes) => (
          <input {...attributes} type={type} name="password" autoComplete="new-password" />
        )}
      </Field>
      <Field id="again" label="The same once more" error={errors.again}>
        {(attributes) => (
          <input {...attributes} type={type} name="again" autoComplete="new-password" />
        )}
      </Field>
      <label class="check">
        <input
          type="checkbox"
          disabled={!isHydrated}
          checked={isShown}
          onChange={(event) => setShown(event.currentTarget.checked)}
        />
        <span>Show the passwords</span>
      </label>
      <p class="unseen" role="alert">{Object.values(errors).join(". ")}</p>
      <button
        type="submit"
        class="button primary wide"
        disabled={!isHydrated}
        aria-busy={isBusy ? "true" : undefined}
      >
        {isBusy ? "Setting up" : "Set the password"}
      </button>
    </form>
  );
}
