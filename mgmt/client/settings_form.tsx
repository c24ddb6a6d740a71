import { CPU_MODELS, MOST_CPUS, MOST_PORTS } from "../../hypervisor/supervisor/api/limits.ts";
import type { Guest, GuestUpdate, Host } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas } from "./api.ts";
import { Check } from "./check.tsx";
import { pinningFrom, pinningWords, topologyFrom, topologyWords } from "./cpu_words.ts";
import { Field } from "./field.tsx";
import { type Checked, checkForm } from "./forms.ts";
import { putGuest } from "./live.ts";
import { More } from "./more.tsx";
import { StartOrderFields, startOrderOf } from "./start_order_fields.tsx";
import { toast } from "./toasts.ts";
import { numberOf, useForm } from "./use_form.ts";

const HUGE_PAGES: [string, string][] = [
  ["auto", "2 MiB where the host finds some"],
  ["transparent", "2 MiB, and say where the host forbids it"],
  ["2M", "2 MiB, from the host’s pool"],
  ["1G", "1 GiB, from the host’s pool"],
  ["none", "4 KiB"],
];

const AT_SHUTDOWN = [
  ["", "As the host has it for those that start with it"],
  ["save", "Save it, and have it go on with the host's next start"],
  ["shutdown", "Shut it down"],
] as const;

interface SettingsFormProps {
  guest: Guest;
  host: Host;
  onDone: () => void;
}

/** Changes what a guest is made of, besides its disks and network cards. */
export function SettingsForm({ guest, host, onDone }: SettingsFormProps) {
  const { errors, isBusy, submit } = useForm<GuestUpdate>({
    check: async (data): Promise<Checked<GuestUpdate>> => {
      const { GuestUpdate } = await loadSchemas();
      const [topology, pinning] = [
        topologyFrom(String(data.get("cpu.topology"))),
        pinningFrom(String(data.get("cpu.pinning"))),
      ];
      if (topology === undefined) return { errors: { "cpu.topology": "Must be such as 1x4x2" } };
      if (pinning === undefined) return { errors: { "cpu.pinning": "Must be such as 0, 2+3" } };
      return checkForm(GuestUpdate, readSettings(data, { topology, pinning }));
    },
    send: async (value) => {
      const now = await call("updateGuest", { params: { id: guest.id }, body: value });
      putGuest(now);
      toast(
        "done",
        now.pending.length === 0
          ? `Changed ${now.name}`
          : `Changed ${now.name}; what it runs with changes at its next start`,
      );
      onDone();
    },
    fieldOf: (code) => ({ name_taken: "name", not_enough_memory: "memoryMiB" })[code],
  });
  const { cpu, memory } = guest;
  const isUp = guest.state === "running";
  const number = (
    id: string,
    { name, label, value, ...more }: {
      name: string;
      label: string;
      value: number;
      min: number;
      max?: number;
      step?: number;
      hint?: string;
    },
  ) => (
    <Field id={id} label={label} error={errors[name]} hint={more.hint}>
      {(attributes) => (
        <input
          {...attributes}
          name={name}
          type="number"
          inputMode="numeric"
          min={more.min}
          max={more.max}
          step={more.step}
          defaultValue={`${value}`}
        />
      )}
    </Field>
  );
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      {isUp && (
        <p class="device-note">
          It is running: its name and whether it starts with the host change at once, all else
          applies at its next start
        </p>
      )}
      <Field id="set-name" label="Name" error={errors.name}>
        {(attributes) => <input {...attributes} name="name" defaultValue={guest.name} />}
      </Field>
      <div class="two">
        {number("set-cpus", {
          name: "cpus",
          label: "vCPUs",
          value: guest.cpus,
          min: 1,
          max: MOST_CPUS,
        })}
        {number("set-memory", {
          name: "memoryMiB",
          label: "Memory, MiB",
          value: guest.memoryMiB,
          min: 64,
          step: 64,
        })}
      </div>
      <Field id="set-cmdline" label="Kernel command line" error={errors.cmdline}>
        {(attributes) => (
          <textarea
            {...attributes}
            class="code"
            name="cmdline"
            rows={3}
            defaultValue={guest.cmdline}
          />
        )}
      </Field>
      <Check name="autostart" isOn={guest.autostart}>Start with the host</Check>
      <StartOrderFields order={guest.startOrder} errors={errors} />
      <Field id="settings-at-shutdown" label="When the host restarts or powers off">
        {(attributes) => (
          <select {...attributes} name="atShutdown">
            {AT_SHUTDOWN.map(([value, words]) => (
              <option key={value} value={value} selected={value === (guest.atShutdown ?? "")}>
                {words}
              </option>
            ))}
          </select>
        )}
      </Field>
      <More title="Processors" errors={errors} fields="cpu.">
        <Field
          id="set-model"
          label="Model"
          error={errors["cpu.model"]}
          hint="Under a name, it is the same on every host of the vendor that can offer it"
        >
          {(attributes) => (
            <select {...attributes} name="cpu.model">
              {CPU_MODELS.map((model) => (
                <option key={model} value={model} selected={model === cpu.model}>
                  {model === "host" ? "All that the host has" : model}
                </option>
              ))}
            </select>
          )}
        </Field>
        <div class="two">
          <Field
            id="set-topology"
            label="Sockets, cores, threads"
            error={errors["cpu.topology"]}
            hint="Such as 1x4x2; empty: cores of one socket"
          >
            {(attributes) => (
              <input
                {...attributes}
                name="cpu.topology"
                defaultValue={topologyWords(cpu.topology)}
              />
            )}
          </Field>
          <Field
            id="set-pinning"
            label="Runs on the host’s CPUs"
            error={errors["cpu.pinning"]}
            hint={`For each vCPU, from 0 to ${host.cpus - 1}, such as 0, 2+3; empty: on any`}
          >
            {(attributes) => (
              <input
                {...attributes}
                name="cpu.pinning"
                defaultValue={pinningWords(cpu.pinning)}
              />
            )}
          </Field>
        </div>
        <Check name="cpu.nested" isOn={cpu.nested}>It may run guests of its own</Check>
        <Check name="cpu.hyperv" isOn={cpu.hyperv}>Offer Hyper-V’s interface, for Windows</Check>
      </More>
      <More title="Memory" errors={errors} fields="memory.">
        <div class="two">
          <Field id="set-pages" label="Pages" error={errors["memory.hugePages"]}>
            {(attributes) => (
              <select {...attributes} name="memory.hugePages">
                {HUGE_PAGES.map(([value, label]) => (
                  <option key={value} value={value} selected={value === memory.hugePages}>
                    {label}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {number("set-addable", {
            name: "memory.hotplugMiB",
            label: "Can be added while it runs, MiB",
            value: memory.hotplugMiB,
            min: 0,
            step: 128,
            hint: "A multiple of 128",
          })}
        </div>
        <Check
          name="memory.mergeable"
          isOn={memory.mergeable}
          error={errors["memory.mergeable"]}
        >
          Share pages that are the same in several guests
        </Check>
      </More>
      <More title="Devices" errors={errors} fields="hotplug">
        {number("set-ports", {
          name: "hotplugPorts",
          label: "Ports to plug disks and cards into",
          value: guest.hotplugPorts,
          min: 0,
          max: MOST_PORTS,
        })}
        <Check name="agent" isOn={guest.agent}>A channel to a guest agent</Check>
      </More>
      <div class="row end">
        <button type="button" class="button" onClick={onDone}>Cancel</button>
        <button type="submit" class="button primary" aria-busy={isBusy ? "true" : undefined}>
          Save
        </button>
      </div>
    </form>
  );
}

/** The form's values as the API wants them; not checked yet. */
function readSettings(
  data: FormData,
  cpu: { topology: object | null; pinning: number[][] },
): unknown {
  return {
    name: String(data.get("name")),
    cpus: numberOf(data, "cpus"),
    memoryMiB: numberOf(data, "memoryMiB"),
    cmdline: String(data.get("cmdline")),
    autostart: data.has("autostart"),
    startOrder: startOrderOf(data),
    atShutdown: AT_SHUTDOWN.find(([value]) => value === data.get("atShutdown"))?.[0] || null,
    cpu: {
      ...cpu,
      model: String(data.get("cpu.model")),
      nested: data.has("cpu.nested"),
      hyperv: data.has("cpu.hyperv"),
    },
    memory: {
      hugePages: String(data.get("memory.hugePages")),
      mergeable: data.has("memory.mergeable"),
      hotplugMiB: numberOf(data, "memory.hotplugMiB"),
    },
    hotplugPorts: numberOf(data, "hotplugPorts"),
    agent: data.has("agent"),
  };
}
