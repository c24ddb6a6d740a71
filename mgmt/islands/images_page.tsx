import { useEffect, useRef, useState } from "preact/hooks";
import type { Host, Image, ImageKind } from "../../hypervisor/supervisor/api/schemas.ts";
import { ActionButton } from "../client/action_button.tsx";
import { call, loadSchemas, messageOf } from "../client/api.ts";
import { Confirm } from "../client/dialog.tsx";
import { Field } from "../client/field.tsx";
import { useHydrated } from "../client/hydrated.ts";
import { useLive } from "../client/live.ts";
import { toast } from "../client/toasts.ts";
import { arrived, cancelUpload, startUpload, type Upload, uploads } from "../client/uploads.ts";
import { formatBytes, formatMiB, formatSpan, formatTime } from "../components/format.ts";
import { Icon } from "../components/icons.tsx";

const KINDS: Record<ImageKind, { title: string; hint: string }> = {
  kernel: { title: "Kernels", hint: "A Linux bzImage, as distributions ship it" },
  initrd: { title: "Initrds", hint: "What the kernel unpacks into memory first" },
  disk: { title: "Disks", hint: "Raw disk images; every guest gets its own copy" },
};

const KIND_NAMES = Object.keys(KINDS) as ImageKind[];

export default function ImagesPage(props: { host: Host; images: Image[] }) {
  const { host, guests } = useLive({ host: props.host });
  const [images, setImages] = useState(props.images);
  const [doomed, setDoomed] = useState<Image | null>(null);
  const isSame = (a: Image, b: Image) => a.kind === b.kind && a.name === b.name;
  const isHydrated = useHydrated();
  const sending = isHydrated ? uploads.value : [];
  const come = arrived.value;
  useEffect(() => {
    if (come) setImages((list) => [...list.filter((it) => !isSame(it, come)), come]);
  }, [come]);
  // Which guests use an image changes with the guests; only then is it asked for again.
  const users = guests.map(({ id }) => id).join();
  useEffect(() => {
    void call("listImages", {}).then(setImages).catch(() => {});
  }, [users]);

  const remove = async (image: Image) => {
    try {
      await call("deleteImage", { params: { kind: image.kind, name: image.name } });
      setImages((list) => list.filter((it) => !isSame(it, image)));
      toast("done", `Deleted ${image.name}`);
    } catch (error) {
      toast("problem", messageOf(error));
    }
  };

  return (
    <>
      <header class="page-head">
        <div>
          <h1>Images</h1>
          <p class="page-sub">
            <span>What guests are made from.</span>
            <span>{formatMiB(host.diskFreeMiB)} free</span>
          </p>
        </div>
      </header>
      <UploadForm taken={images} />
      {sending.length > 0 && (
        <ul class="uploads" aria-label="Uploads under way">
          {sending.map((upload) => <UploadRow key={upload.id} upload={upload} />)}
        </ul>
      )}
      {KIND_NAMES.map((kind) => (
        <section class="image-kind" key={kind}>
          <h2>{KINDS[kind].title}</h2>
          <ImageTable
            title={KINDS[kind].title}
            hint={KINDS[kind].hint}
            images={images.filter((it) => it.kind === kind).sort((a, b) =>
              a.name < b.name ? -1 : 1
            )}
            onDelete={setDoomed}
          />
        </section>
      ))}
      <Confirm
        title={`Delete ${doomed?.name}?`}
        verb="Delete image"
        isOpen={doomed !== null}
        onClose={() => setDoomed(null)}
        onConfirm={() => doomed && void remove(doomed)}
      >
        No guest uses it. This cannot be undone
      </Confirm>
    </>
  );
}

interface ImageTableProps {
  title: string;
  hint: string;
  images: Image[];
  onDelete: (image: Image) => void;
}

function ImageTable({ title, hint, images, onDelete }: ImageTableProps) {
  if (images.length === 0) return <p class="nothing">None yet. {hint}</p>;
  return (
    <table class="list images">
      <caption class="unseen">{title}</caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col" class="number">Size</th>
          <th scope="col">Uploaded</th>
          <th scope="col">Used by</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {images.map((image) => (
          <tr key={image.name}>
            <th scope="row">{image.name}</th>
            <td data-label="Size" class="number">{formatBytes(image.sizeBytes)}</td>
            <td data-label="Uploaded">{formatTime(image.createdAt)}</td>
            <td data-label="Used by">{image.usedBy.join(", ") || "–"}</td>
            <td class="acts">
              <ActionButton
                icon="trash"
                kind="quiet"
                isSmall
                reason={image.usedBy.length > 0
                  ? `Cannot delete it: ${image.usedBy.join(", ")} ${
                    image.usedBy.length === 1 ? "uses" : "use"
                  } it`
                  : null}
                onClick={() => onDelete(image)}
              >
                Delete {image.name}
              </ActionButton>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What a file most likely is, by its name. */
function guessKind(name: string): ImageKind {
  if (/vmlinuz|bzimage|kernel/i.test(name)) return "kernel";
  if (/initrd|initramfs/i.test(name)) return "initrd";
  return "disk";
}

function UploadForm({ taken }: { taken: Image[] }) {
  const [file, setFile] = useState<File | null>(null);
  const [kind, setKind] = useState<ImageKind>("disk");
  const [name, setName] = useState("");
  const [invalid, setInvalid] = useState<string>();
  const [isOver, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);

  const choose = (chosen: File | undefined) => {
    if (!chosen) return;
    setFile(chosen);
    setKind(guessKind(chosen.name));
    setName(chosen.name.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, ""));
  };
  // A file may have been chosen before the page came alive.
  useEffect(() => choose(input.current?.files?.[0]), []);
  const isTaken = taken.some((it) => it.kind === kind && it.name === name) ||
    uploads.value.some((it) => it.kind === kind && it.name === name);
  const error = isTaken ? `There is a ${kind} of this name already` : invalid;

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!file || isTaken) return;
    let checked;
    try {
      checked = (await loadSchemas()).ImageName.safeParse(name);
    } catch (error) {
      return toast("problem", messageOf(error));
    }
    if (!checked.success) return setInvalid(checked.error.issues[0].message);
    startUpload(kind, name, file);
    setFile(null);
    input.current!.value = "";
  };

  return (
    <form
      class={`drop ${isOver ? "over" : ""}`}
      onSubmit={submit}
      f-client-nav={false}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        choose(event.dataTransfer?.files[0]);
      }}
    >
      <label class="drop-pick">
        <Icon name="upload" />
        <span>
          {file
            ? (
              <>
                <b>{file.name}</b>, {formatBytes(file.size)}
              </>
            )
            : (
              <>
                <b>Choose a file</b> to upload, or drop one here
              </>
            )}
        </span>
        <input
          class="unseen"
          ref={input}
          type="file"
          onChange={(event) => choose(event.currentTarget.files?.[0])}
        />
      </label>
      {file && (
        <div class="drop-more">
          <Field id="upload-kind" label="Kind">
            {(attributes) => (
              <select
                {...attributes}
                value={kind}
                onChange={(event) => setKind(event.currentTarget.value as ImageKind)}
              >
                {KIND_NAMES.map((it) => (
                  <option key={it} value={it}>
                    {{ kernel: "Kernel", initrd: "Initrd", disk: "Disk" }[it]}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field id="upload-name" label="Name" error={error}>
            {(attributes) => (
              <input
                {...attributes}
                value={name}
                spellcheck={false}
                autoComplete="off"
                onInput={(event) => {
                  setName(event.currentTarget.value);
                  setInvalid(undefined);
                }}
              />
            )}
          </Field>
          <button type="submit" class="button primary">Upload</button>
        </div>
      )}
    </form>
  );
}

function UploadRow({ upload }: { upload: Upload }) {
  const { name, sentBytes, totalBytes, bytesPerSecond } = upload;
  const left = bytesPerSecond > 0 ? (totalBytes - sentBytes) / bytesPerSecond : null;
  return (
    <li class="upload">
      <div class="upload-text">
        <b>{name}</b>
        <span class="number">
          {sentBytes === totalBytes
            ? "The host is checking it"
            : `${formatBytes(sentBytes)} of ${formatBytes(totalBytes)}`}
          {left !== null && left >= 1 ? `, ${formatSpan(left * 1000)} left` : ""}
        </span>
      </div>
      <progress
        aria-label={`Upload of ${name}`}
        value={sentBytes}
        max={Math.max(1, totalBytes)}
      />
      <button type="button" class="button small" onClick={() => cancelUpload(upload.id)}>
        Cancel <span class="unseen">the upload of {name}</span>
      </button>
    </li>
  );
}
