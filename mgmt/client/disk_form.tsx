import { useEffect, useState } from "preact/hooks";
import { whyNotPlug } from "../../hypervisor/supervisor/api/actions.ts";
import type {
  Disk,
  DiskCreate,
  DiskUpdate,
  Guest,
  Host,
  Image,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { formatBytes } from "../components/format.ts";
import { call, loadSchemas, messageOf } from "./api.ts";
import { Field } from "./field.tsx";
import { type Checked, checkForm } from "./forms.ts";
import { LimitFields, readLimit } from "./limit_fields.tsx";
import { putGuest } from "./live.ts";
import { roomWords, StoreField } from "./store_field.tsx";
import { toast } from "./toasts.ts";
import { numberOf, useForm } from "./use_form.ts";

interface DiskFormProps {
  guest: Guest;
  host: Host;
  /** The disk to change; a new one without. */
  disk?: Disk;
  onDone: () => void;
}

/** Where a problem that names no field belongs. */
const FIELDS: Record<string, string> = {
  name_taken: "name",
  disk_full: "sizeMiB",
  no_such_store: "store",
  store_unavailable: "store",
};

/** Makes a disk for a guest, or changes one. */
export function DiskForm({ guest, host, disk, onDone }: DiskFormProps) {
  const [images, setImages] = useState<Image[]>([]);
  const [image, setImage] = useState("");
  const [store, setStore] = useState("");
  useEffect(() => {
    if (disk) return;
    call("listImages", {}).then(
      (all) => setImages(all.filter(({ kind }) => kind === "disk")),
      (error) => toast("problem", messageOf(error)),
    );
  }, []);
  const { errors, isBusy, submit } = useForm<DiskCreate | DiskUpdate>({
    check: async (data): Promise<Checked<DiskCreate | DiskUpdate>> => {
      const { DiskCreate, DiskUpdate } = await loadSchemas();
      const values = readDisk(data);
      if (!disk) {
        const image = String(data.get("image")) || null;
        return checkForm(DiskCreate, { ...values, image, store: store || null });
      }
      // What is left as it was is not sent: its size may be no whole number of MiB.
      const { sizeMiB, ...others } = values;
      return checkForm(DiskUpdate, sizeMiB === disk.sizeMiB ? others : values);
    },
    send: async (value) => {
      if (disk) {
        const params = { id: guest.id, disk: disk.id };
        putGuest(await call("updateDisk", { params, body: value as DiskUpdate }));
        toast("done", `Changed disk ${disk.name}`);
      } else {
        await add(guest, value as DiskCreate);
      }
      onDone();
    },
    fieldOf: (code) => FIELDS[code],
  });
  const isInUse = disk !== undefined && disk.attached !== null;
  const later = isInUse ? "Applies at the next start" : undefined;
  return (
    <form class="stack" onSubmit={submit} noValidate f-client-nav={false}>
      {errors.form && <div class="banner" role="alert">{errors.form}</div>}
      <Field
        id="disk-name"
        label="Name"
        error={errors.name}
        hint={disk ? undefined : "Left empty: one that is free"}
      >
        {(attributes) => (
          <input
            {...attributes}
            name="name"
            autoComplete="off"
            spellcheck={false}
            defaultValue={disk?.name ?? ""}
          />
        )}
      </Field>
      <div class="two">
        {!disk && (
          <Field id="disk-image" label="Content" error={errors.image}>
            {(attributes) => (
              <select
                {...attributes}
                name="image"
                value={image}
                onChange={(event) => setImage(event.currentTarget.value)}
              >
                <option value="">Empty disk</option>
                {images.map(({ name, sizeBytes }) => (
                  <option key={name} value={name}>{name} ({formatBytes(sizeBytes)})</option>
                ))}
              </select>
            )}
          </Field>
        )}
        <Field
          id="disk-size"
          label="Size, MiB"
          error={errors.sizeMiB}
          hint={disk
            ? "Disks grow, also while the guest runs, and do not shrink"
            : image !== ""
            ? "Left empty: as large as the image"
            : roomWords(host, store)}
        >
          {(attributes) => (
            <input
              {...attributes}
              name="sizeMiB"
              type="number"
              inputMode="numeric"
              min="1"
              defaultValue={disk ? `${disk.sizeMiB}` : ""}
            />
          )}
        </Field>
        {!disk && (
          <StoreField
            host={host}
            id="disk-store"
            name="store"
            value={store}
            error={errors.store}
            onChange={setStore}
          />
        )}
        <Field id="disk-cache" label="Cache" error={errors.cache} hint={later}>
          {(attributes) => (
            <select {...attributes} name="cache" defaultValue={disk?.cache}>
              <option value="cached" selected={disk?.cache !== "direct"}>
                Cached by the host
              </option>
              <option value="direct" selected={disk?.cache === "direct"}>
                Direct, past the host’s cache
              </option>
            </select>
          )}
        </Field>
      </div>
      <fieldset class="checks">
        <legend class="unseen">Writing</legend>
        <label class="check">
          <input
            type="checkbox"
            name="writeCache"
            defaultChecked={disk?.writeCache ?? true}
          />
          <span>Writes may wait until the guest flushes them</span>
        </label>
        <label class="check">
          <input type="checkbox" name="readonly" defaultChecked={disk?.readonly ?? false} />
          <span>Read-only</span>
        </label>
        {later && <p class="field-hint">{later}</p>}
      </fieldset>
      <LimitFields
        path="rateLimit"
        title="Limits"
        operations="Requests"
        limit={disk?.rateLimit ?? null}
        errors={errors}
      />
      <div class="row end">
        <button type="button" class="button" onClick={onDone}>Cancel</button>
        <button type="submit" class="button primary" aria-busy={isBusy ? "true" : undefined}>
          {disk ? "Save" : isBusy ? "Adding" : "Add disk"}
        </button>
      </div>
    </form>
  );
}

/** Adds the disk, and plugs it into a guest that runs and has a port for it. */
async function add(guest: Guest, body: DiskCreate): Promise<void> {
  const known = new Set(guest.disks.map(({ id }) => id));
  const now = await call("addDisk", { params: { id: guest.id }, body });
  putGuest(now);
  const disk = now.disks.find(({ id }) => !known.has(id))!;
  toast("done", `Added disk ${disk.name}`);
  if (whyNotPlug(now, disk) !== null) return;
  // It is there either way; why it is not plugged in is told on its own.
  await call("plugDisk", { params: { id: guest.id, disk: disk.id } }).catch((error) =>
    toast("problem", messageOf(error))
  );
}

/** The form's values as the API wants them; not checked yet. */
function readDisk(data: FormData) {
  const name = String(data.get("name") ?? "");
  return {
    name: name === "" ? undefined : name,
    sizeMiB: numberOf(data, "sizeMiB"),
    cache: String(data.get("cache")),
    writeCache: data.has("writeCache"),
    readonly: data.has("readonly"),
    rateLimit: readLimit(data, "rateLimit"),
  };
}
