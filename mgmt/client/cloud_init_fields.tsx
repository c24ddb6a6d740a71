import { useState } from "preact/hooks";
import { CLOUD_INIT_MOST } from "../../hypervisor/supervisor/api/limits.ts";
import type { CloudInit, CloudInitCreate } from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { Field } from "./field.tsx";
import { initially } from "./forms.ts";

interface CloudInitFieldsProps {
  errors: Record<string, string>;
  /** What there is already. */
  now?: CloudInit;
}

/** What a guest's system is told by cloud-init. */
export function CloudInitFields({ errors, now }: CloudInitFieldsProps) {
  return (
    <>
      <Field
        id="cloud-keys"
        label="SSH keys"
        error={errors["cloudInit.sshKeys"]}
        hint={`Public keys, one a line, as in id_ed25519.pub; at most ${CLOUD_INIT_MOST.sshKeys}. ` +
          "Who has one may log in as the image’s first user"}
      >
        {(attributes) => (
          <textarea
            {...attributes}
            class="code"
            name="cloudInit.sshKeys"
            rows={3}
            spellcheck={false}
            autoComplete="off"
            {...initially(now?.sshKeys.join("\n") ?? "")}
          />
        )}
      </Field>
      <TextField
        id="cloud-user-data"
        label="User data"
        name="cloudInit.userData"
        rows={9}
        text={now?.userData ?? ""}
        mostBytes={CLOUD_INIT_MOST.userDataBytes}
        error={errors["cloudInit.userData"]}
        hint="Begins with #cloud-config, or with #! and a program"
      />
      <TextField
        id="cloud-network"
        label="Network configuration"
        name="cloudInit.networkConfig"
        rows={5}
        text={now?.networkConfig ?? ""}
        mostBytes={CLOUD_INIT_MOST.networkConfigBytes}
        error={errors["cloudInit.networkConfig"]}
        hint="YAML with version: 1 or version: 2; left empty, the first card asks by DHCP"
      />
      <Field
        id="cloud-hostname"
        label="Host name"
        error={errors["cloudInit.hostname"]}
        hint="Left empty: the guest’s name"
      >
        {(attributes) => (
          <input
            {...attributes}
            name="cloudInit.hostname"
            autoComplete="off"
            spellcheck={false}
            {...initially(now?.hostname ?? "")}
          />
        )}
      </Field>
    </>
  );
}

interface TextFieldProps {
  id: string;
  label: string;
  name: string;
  rows: number;
  text: string;
  mostBytes: number;
  error?: string;
  hint: string;
}

/** A text of which it is told how much of the room for it is used. */
function TextField({ id, label, name, rows, text, mostBytes, error, hint }: TextFieldProps) {
  const [bytes, setBytes] = useState(bytesOf(text));
  return (
    <Field
      id={id}
      label={label}
      error={error}
      hint={`${hint}. ${formatBytes(bytes)} of ${formatBytes(mostBytes)}`}
    >
      {(attributes) => (
        <textarea
          {...attributes}
          class="code"
          name={name}
          rows={rows}
          spellcheck={false}
          autoComplete="off"
          {...initially(text)}
          onInput={(event) => setBytes(bytesOf(event.currentTarget.value))}
        />
      )}
    </Field>
  );
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The fields' values as the API wants them; not checked yet. */
export function readCloudInit(data: FormData): Required<CloudInitCreate> {
  // However a browser ends lines, a script has them as Unix does.
  const text = (name: string) =>
    String(data.get(`cloudInit.${name}`) ?? "").replaceAll("\r\n", "\n");
  const given = (name: string) => text(name).trim() === "" ? null : text(name);
  return {
    sshKeys: text("sshKeys").split("\n").map((line) => line.trim()).filter((line) => line !== ""),
    userData: given("userData"),
    networkConfig: given("networkConfig"),
    hostname: given("hostname")?.trim() ?? null,
  };
}

/** Whether anything of it was filled in. */
export function saysAnything(wish: Required<CloudInitCreate>): boolean {
  const { sshKeys, userData, networkConfig, hostname } = wish;
  return sshKeys.length > 0 || [userData, networkConfig, hostname].some((it) => it !== null);
}
