import type { TargetedEvent } from "preact";
import { useState } from "preact/hooks";
import type {
  GuestCreate,
  Host,
  Image,
  ImageKind,
  Template,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { call, loadSchemas, messageOf } from "../client/api.ts";
import { CloudInitFields, readCloudInit, saysAnything } from "../client/cloud_init_fields.tsx";
import { type ControlAttributes, Field } from "../client/field.tsx";
import { useHydrated } from "../client/hydrated.ts";
import { checkForm, initially, initiallyChecked } from "../client/forms.ts";
import { addGuest, useLive } from "../client/live.ts";
import { follow } from "../client/shortcuts.ts";
import { More } from "../client/more.tsx";
import { roomWords, StoreField } from "../client/store_field.tsx";
import { TemplateForm } from "../client/template_form.tsx";
import { toast } from "../client/toasts.ts";
import { useForm } from "../client/use_form.ts";
import { formatBytes, formatMiB } from "../components/format.ts";
import { HostProblem } from "../components/gauges.tsx";

interface CreatePageProps {
  host: Host;
  images: Image[];
  templates: Template[];
}

const MEMORY_MIB = [256, 512, 1024, 2048, 4096, 8192];
const CPUS = [1, 2, 3, 4, 5, 6, 7, 8];
const EMPTY_DISK = "";
const NO_DISK = "-";
/** What the API takes where nothing is said. */
const CMDLINE = "console=ttyS0 root=/dev/vda rw";
/** Where a problem that names no field belongs. */
const FIELDS: Record<string, string> = {
  name_taken: "name",
  not_enough_memory: "memoryMiB",
  disk_too_small: "disks.0.sizeMiB",
  disk_full: "disks.0.sizeMiB",
  no_such_store: "disks.0.store",
  store_unavailable: "disks.0.store",
};
const WAYS = [
  { name: "network", label: "Network card on the host’s bridge", isOn: true },
  { name: "autostart", label: "Start with the host", isOn: false },
  { name: "start", label: "Start right after it is created", isOn: true },
];

export default function CreatePage(props: CreatePageProps) {
  const { host } = useLive({ host: props.host });
  const of = (kind: ImageKind) => props.images.filter((image) => image.kind === kind);
  const kernels = of("kernel");
  return (
    <>
      <header class="page-head">
        <div>
          <p class="crumbs">
            <a href="/">Guests</a>
          </p>
          <h1>New guest</h1>
        </div>
      </header>
      <HostProblem host={host} />
      {props.templates.length > 0 && <TemplateForm templates={props.templates} />}
      {kernels.length === 0
        ? (
          <section class="empty">
            <h2>First it needs a kernel</h2>
            <p>
              A guest boots a Linux kernel from this host’s images, and there is none yet. Upload
              one, with its initrd and a disk image
            </p>
            <p class="row center">
              <a class="button primary" href="/images">Upload images</a>
            </p>
          </section>
        )
        : <CreateForm host={host} kernels={kernels} initrds={of("initrd")} disks={of("disk")} />}
    </>
  );
}

interface CreateFormProps {
  host: Host;
  kernels: Image[];
  initrds: Image[];
  disks: Image[];
}

function CreateForm({ host, kernels, initrds, disks }: CreateFormProps) {
  const isHydrated = useHydrated();
  const [disk, setDisk] = useState(disks[0]?.name ?? EMPTY_DISK);
  const [store, setStore] = useState("");
  const { errors, isBusy, submit } = useForm<{ body: GuestCreate; starts: boolean }>({
    check: async (data) => {
      const { GuestCreate } = await loadSchemas();
      const checked = checkForm(GuestCreate, readForm(data));
      return "errors" in checked
        ? checked
        : { value: { body: checked.value, starts: data.has("start") } };
    },
    send: async ({ body, starts }) => {
      const guest = await call("createGuest", { body });
      addGuest(guest);
      toast("done", `Created ${guest.name}`);
      if (starts) {
        // It exists either way; why it does not start is told on its page.
        await call("startGuest", { params: { id: guest.id } }).catch((error) =>
          toast("problem", messageOf(error))
        );
      }
      follow(`/guests/${guest.id}`);
    },
    fieldOf: (code) => FIELDS[code],
  });

  const most = host.memoryFreeMiB;
  return (
    <form class="form" method="post" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <p class="unseen" role="alert">
        {Object.keys(errors).length > 0 ? `Not created: ${Object.values(errors).join(". ")}` : ""}
      </p>
      <fieldset>
        <legend>Guest</legend>
        <Field
          id="name"
          label="Name"
          error={errors.name}
          hint="Small letters, digits and dashes, such as web-1"
        >
          {(attributes) => (
            <input {...attributes} name="name" autoComplete="off" spellcheck={false} autoFocus />
          )}
        </Field>
        <div class="two">
          <Field id="cpus" label="vCPUs" error={errors.cpus} hint={`The host has ${host.cpus}`}>
            {(attributes) => (
              <select {...attributes} name="cpus">
                {CPUS.map((n) => <option key={n} value={n}>{n}</option>)}
              </select>
            )}
          </Field>
          <Field
            id="memoryMiB"
            label="Memory, MiB"
            error={errors.memoryMiB}
            hint={`${formatMiB(most)} of the host’s are free`}
          >
            {(attributes) => (
              <input
                {...attributes}
                name="memoryMiB"
                type="number"
                inputMode="numeric"
                min="64"
                step="64"
                list="memory-sizes"
                {...initially("512")}
              />
            )}
          </Field>
          <datalist id="memory-sizes">
            {MEMORY_MIB.map((n) => <option key={n} value={n}>{formatMiB(n)}</option>)}
          </datalist>
        </div>
      </fieldset>
      <fieldset>
        <legend>Boot</legend>
        <div class="two">
          <Field id="kernel" label="Kernel" error={errors.kernel}>
            {(attributes) => <ImageSelect attributes={attributes} name="kernel" images={kernels} />}
          </Field>
          <Field id="initrd" label="Initrd" error={errors.initrd}>
            {(attributes) => (
              <ImageSelect
                attributes={attributes}
                name="initrd"
                images={initrds}
                others={[["", "None"]]}
              />
            )}
          </Field>
        </div>
        <Field
          id="cmdline"
          label="Kernel command line"
          error={errors.cmdline}
          hint="console=ttyS0 brings its screen to the terminal here"
        >
          {(attributes) => (
            <input
              {...attributes}
              class="code"
              name="cmdline"
              autoComplete="off"
              spellcheck={false}
              {...initially(CMDLINE)}
            />
          )}
        </Field>
      </fieldset>
      <fieldset>
        <legend>Disk</legend>
        <div class="two">
          <Field id="disk-image" label="Content" error={errors["disks.0.image"]}>
            {(attributes) => (
              <ImageSelect
                attributes={{
                  ...attributes,
                  value: disk,
                  onChange: (event) => setDisk(event.currentTarget.value),
                }}
                name="disks.0.image"
                images={disks}
                others={[[EMPTY_DISK, "Empty disk"], [NO_DISK, "No disk"]]}
              />
            )}
          </Field>
          <Field
            id="disk-size"
            label="Size, MiB"
            error={errors["disks.0.sizeMiB"]}
            hint={disk === NO_DISK
              ? "Without a disk nothing is kept; more can be added later"
              : disk === EMPTY_DISK
              ? roomWords(host, store)
              : "Left empty: as large as the image"}
          >
            {(attributes) => (
              <input
                {...attributes}
                name="disks.0.sizeMiB"
                type="number"
                inputMode="numeric"
                min="1"
                disabled={disk === NO_DISK}
              />
            )}
          </Field>
          <StoreField
            host={host}
            id="disk-store"
            name="disks.0.store"
            value={store}
            error={errors["disks.0.store"]}
            disabled={disk === NO_DISK}
            onChange={setStore}
          />
        </div>
      </fieldset>
      <fieldset>
        <legend>cloud-init</legend>
        <label class="check">
          <input type="checkbox" name="hasCloudInit" {...initiallyChecked(false)} />
          <span>A disk that tells its system who it is, for images made for clouds</span>
        </label>
        <More title="What the system is told" errors={errors} fields="cloudInit.">
          <CloudInitFields errors={errors} />
        </More>
      </fieldset>
      <fieldset>
        <legend>Ways</legend>
        {WAYS.map(({ name, label, isOn }) => (
          <label class="check" key={name}>
            <input type="checkbox" name={name} {...initiallyChecked(isOn)} />
            <span>{label}</span>
          </label>
        ))}
      </fieldset>
      <div class="row form-end">
        <button
          type="submit"
          class="button primary"
          disabled={!isHydrated}
          aria-busy={isBusy ? "true" : undefined}
        >
          {isBusy ? "Creating" : "Create guest"}
        </button>
        <a class="button quiet" href="/">Cancel</a>
      </div>
    </form>
  );
}

interface ImageSelectProps {
  attributes: ControlAttributes & {
    value?: string;
    onChange?: (event: TargetedEvent<HTMLSelectElement>) => void;
  };
  name: string;
  images: Image[];
  /** Value and label of what is no image. */
  others?: [string, string][];
}

function ImageSelect({ attributes, name, images, others = [] }: ImageSelectProps) {
  return (
    <select {...attributes} name={name}>
      {images.map((image) => (
        <option key={image.name} value={image.name}>
          {image.name} ({formatBytes(image.sizeBytes)})
        </option>
      ))}
      {others.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
    </select>
  );
}

/** The form's values as the API wants them; not checked yet. */
function readForm(data: FormData): unknown {
  const cloudInit = readCloudInit(data);
  const image = String(data.get("disks.0.image"));
  const size = String(data.get("disks.0.sizeMiB") ?? "");
  return {
    name: String(data.get("name")),
    cpus: Number(data.get("cpus")),
    memoryMiB: Number(data.get("memoryMiB")),
    kernel: String(data.get("kernel")),
    initrd: String(data.get("initrd")) || null,
    cmdline: String(data.get("cmdline")),
    disks: image === NO_DISK ? [] : [{
      image: image === EMPTY_DISK ? null : image,
      sizeMiB: size === "" ? null : Number(size),
      store: String(data.get("disks.0.store") ?? "") || null,
    }],
    nets: data.has("network") ? [{}] : [],
    // Who fills it in wants it.
    cloudInit: data.has("hasCloudInit") || saysAnything(cloudInit) ? cloudInit : null,
    autostart: data.has("autostart"),
  };
}
