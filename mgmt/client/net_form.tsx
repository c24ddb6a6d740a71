import { whyNotPlug } from "../../hypervisor/supervisor/api/actions.ts";
import type {
  Guest,
  Host,
  Net,
  NetCreate,
  NetUpdate,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas, messageOf } from "./api.ts";
import { Check } from "./check.tsx";
import { Field } from "./field.tsx";
import { type Checked, checkForm } from "./forms.ts";
import { LimitFields, readLimit } from "./limit_fields.tsx";
import { putGuest } from "./live.ts";
import { toast } from "./toasts.ts";
import { numberOf, useForm } from "./use_form.ts";

interface NetFormProps {
  guest: Guest;
  host: Host;
  /** The card to change; a new one without. */
  net?: Net;
  onDone: () => void;
}

/** Makes a network card for a guest, or changes one. */
export function NetForm({ guest, host, net, onDone }: NetFormProps) {
  const { errors, isBusy, submit } = useForm<NetCreate | NetUpdate>({
    check: async (data): Promise<Checked<NetCreate | NetUpdate>> => {
      const { NetCreate, NetUpdate } = await loadSchemas();
      return net ? checkForm(NetUpdate, readNet(data)) : checkForm(NetCreate, readNet(data));
    },
    send: async (value) => {
      if (net) {
        const params = { id: guest.id, net: net.id };
        putGuest(await call("updateNet", { params, body: value as NetUpdate }));
        toast("done", `Changed network card ${net.mac}`);
      } else {
        await add(guest, value as NetCreate);
      }
      onDone();
    },
    fieldOf: (code) => ({ mac_taken: "mac" })[code],
  });
  const later = net && net.attached !== null ? "Applies at the next start" : undefined;
  // One that the host has no more is not forgotten by opening the form.
  const bridges = [...new Set([...host.bridges, ...(net?.bridge ? [net.bridge] : [])])];
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <label class="check">
        <input type="checkbox" name="linkUp" defaultChecked={net?.linkUp ?? true} />
        <span>The cable is plugged in</span>
      </label>
      <Check
        name="inPort"
        isOn={net?.inPort ?? true}
        error={errors.inPort}
        hint={`${
          later ? `${later}. ` : ""
        }It can be taken out while the guest runs, and forks get cards of their own. The guest may know it by another name than outside a port`}
      >
        In a hot-plug port from the guest’s start
      </Check>
      <div class="two">
        <Field
          id="net-mac"
          label="MAC address"
          error={errors.mac}
          hint={later ?? (net ? undefined : "Left empty: a new one")}
        >
          {(attributes) => (
            <input
              {...attributes}
              class="code"
              name="mac"
              autoComplete="off"
              spellcheck={false}
              defaultValue={net?.mac ?? ""}
            />
          )}
        </Field>
        <Field id="net-bridge" label="Bridge" error={errors.bridge} hint={later}>
          {(attributes) => (
            <select {...attributes} name="bridge">
              <option value="" selected={!net?.bridge}>The host’s own</option>
              {bridges.map((name) => (
                <option key={name} value={name} selected={name === net?.bridge}>{name}</option>
              ))}
            </select>
          )}
        </Field>
        <Field
          id="net-mtu"
          label="Largest packet (MTU), bytes"
          error={errors.mtu}
          hint={later ?? "Left empty: the usual 1500"}
        >
          {(attributes) => (
            <input
              {...attributes}
              name="mtu"
              type="number"
              inputMode="numeric"
              min="68"
              max="65521"
              defaultValue={net?.mtu?.toString() ?? ""}
            />
          )}
        </Field>
        <Field
          id="net-queues"
          label="Pairs of queues"
          error={errors.queues}
          hint={later ?? "Left empty: one for each vCPU, at most 4"}
        >
          {(attributes) => (
            <input
              {...attributes}
              name="queues"
              type="number"
              inputMode="numeric"
              min="1"
              max="8"
              defaultValue={net?.queues?.toString() ?? ""}
            />
          )}
        </Field>
      </div>
      <LimitFields
        path="receiveLimit"
        title="Limits of what it receives"
        operations="Packets"
        limit={net?.receiveLimit ?? null}
        errors={errors}
      />
      <LimitFields
        path="sendLimit"
        title="Limits of what it sends"
        operations="Packets"
        limit={net?.sendLimit ?? null}
        errors={errors}
      />
      <div class="row end">
        <button type="button" class="button" onClick={onDone}>Cancel</button>
        <button type="submit" class="button primary" aria-busy={isBusy ? "true" : undefined}>
          {net ? "Save" : "Add network card"}
        </button>
      </div>
    </form>
  );
}

/** Adds the card, and plugs it into a guest that runs and has a port for it. */
async function add(guest: Guest, body: NetCreate): Promise<void> {
  const known = new Set(guest.nets.map(({ id }) => id));
  const now = await call("addNet", { params: { id: guest.id }, body });
  putGuest(now);
  const net = now.nets.find(({ id }) => !known.has(id))!;
  toast("done", `Added network card ${net.mac}`);
  if (whyNotPlug(now, net) !== null) return;
  // It is there either way; why it is not plugged in is told on its own.
  await call("plugNet", { params: { id: guest.id, net: net.id } }).catch((error) =>
    toast("problem", messageOf(error))
  );
}

/** The form's values as the API wants them; not checked yet. */
function readNet(data: FormData) {
  const mac = String(data.get("mac")).trim().toLowerCase();
  return {
    mac: mac === "" ? undefined : mac,
    bridge: String(data.get("bridge")) || null,
    linkUp: data.has("linkUp"),
    mtu: numberOf(data, "mtu"),
    queues: numberOf(data, "queues"),
    inPort: data.has("inPort"),
    receiveLimit: readLimit(data, "receiveLimit"),
    sendLimit: readLimit(data, "sendLimit"),
  };
}
