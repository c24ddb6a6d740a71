import { useState } from "preact/hooks";
import { call, messageOf } from "./api.ts";
import { Field } from "./field.tsx";
import { takeAnswer } from "./live_update.ts";
import { pairOf, sendSystem } from "./system_upload.ts";

/** The two ways in which an update comes. */
export function UpdateForm({ whyNot }: { whyNot: string | null }) {
  const [wrong, setWrong] = useState<{ files?: string; url?: string }>({});
  const blocked = whyNot === null ? {} : { "aria-disabled": "true" as const, title: whyNot };
  const upload = (event: Event) => {
    event.preventDefault();
    if (whyNot !== null) return;
    const form = event.currentTarget as HTMLFormElement;
    const input = form.elements.namedItem("files") as HTMLInputElement;
    const pair = pairOf([...input.files ?? []]);
    if (typeof pair === "string") {
      setWrong({ files: pair });
      return input.focus();
    }
    setWrong({});
    void sendSystem(pair).then(() => form.reset());
  };
  const pull = async (event: Event) => {
    event.preventDefault();
    if (whyNot !== null) return;
    const form = event.currentTarget as HTMLFormElement;
    const input = form.elements.namedItem("url") as HTMLInputElement;
    const url = input.value.trim();
    try {
      if (!/^https:\/\/./.test(url)) throw new RangeError("Must begin with https://");
      setWrong({});
      await takeAnswer(call("pullUpdate", { body: { url } }));
      form.reset();
    } catch (error) {
      setWrong({ url: error instanceof RangeError ? error.message : messageOf(error) });
      input.focus();
    }
  };
  return (
    <section class="update-part" aria-label="Take an update in">
      <h2>Take an update in</h2>
      <form class="update-form" onSubmit={upload} noValidate f-client-nav={false}>
        <Field
          id="update-files"
          label="From this computer"
          hint="Two files: denovisor-VERSION.efi, and its signature with .sig behind it"
          error={wrong.files}
        >
          {(attributes) => (
            <input {...attributes} type="file" name="files" multiple accept=".efi,.sig" />
          )}
        </Field>
        <button type="submit" class="button primary" {...blocked}>Upload</button>
      </form>
      <form class="update-form" onSubmit={pull} noValidate f-client-nav={false}>
        <Field
          id="update-url"
          label="From an address"
          hint="The host fetches it by itself, and its signature from the same address with .sig"
          error={wrong.url}
        >
          {(attributes) => (
            <input
              {...attributes}
              type="url"
              name="url"
              placeholder="https://"
              maxLength={2048}
              autocomplete="off"
            />
          )}
        </Field>
        <button type="submit" class="button" {...blocked}>Fetch</button>
      </form>
    </section>
  );
}
