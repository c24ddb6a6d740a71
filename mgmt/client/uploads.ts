/**
 * Uploads under way. They belong to no page: navigation inside the console does not end them.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { Image, ImageKind, Problem } from "../../hypervisor/supervisor/api/schemas.ts";
import { csrfToken } from "./api.ts";
import { toast } from "./toasts.ts";

export interface Upload {
  id: number;
  kind: ImageKind;
  name: string;
  sentBytes: number;
  totalBytes: number;
  bytesPerSecond: number;
}

export const uploads: Signal<Upload[]> = signal([]);
/** The last image that arrived, for lists to show. */
export const arrived: Signal<Image | null> = signal(null);

const requests = new Map<number, XMLHttpRequest>();
let last = 0;

/** Only XMLHttpRequest tells how much of a body was sent. */
export function startUpload(kind: ImageKind, name: string, file: File): void {
  const id = ++last;
  const request = new XMLHttpRequest();
  requests.set(id, request);
  const begun = performance.now();
  const upload: Upload = {
    id,
    kind,
    name,
    sentBytes: 0,
    totalBytes: file.size,
    bytesPerSecond: 0,
  };
  uploads.value = [...uploads.peek(), upload];
  const change = (part: Partial<Upload>) => {
    uploads.value = uploads.peek().map((it) => it.id === id ? { ...it, ...part } : it);
  };
  const end = () => {
    requests.delete(id);
    uploads.value = uploads.peek().filter((it) => it.id !== id);
    if (requests.size === 0) removeEventListener("beforeunload", warn);
  };
  request.upload.onprogress = ({ loaded }) => {
    const seconds = (performance.now() - begun) / 1000;
    change({ sentBytes: loaded, bytesPerSecond: seconds > 0 ? loaded / seconds : 0 });
  };
  request.onload = () => {
    end();
    if (request.status === 201) {
      arrived.value = JSON.parse(request.responseText);
      toast("done", `Uploaded ${name}`);
    } else {
      toast("problem", problemText(request.responseText, name));
    }
  };
  request.onerror = () => {
    end();
    toast("problem", `Cannot upload "${name}": the connection broke. Try again`);
  };
  request.onabort = () => {
    end();
    toast("done", `Cancelled the upload of ${name}`);
  };
  request.open("PUT", `/api/v1/images/${kind}/${encodeURIComponent(name)}`);
  request.setRequestHeader("x-csrf-token", csrfToken());
  request.setRequestHeader("x-upload-length", String(file.size));
  request.setRequestHeader("content-type", "application/octet-stream");
  addEventListener("beforeunload", warn);
  request.send(file);
}

export function cancelUpload(id: number): void {
  requests.get(id)?.abort();
}

function warn(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

function problemText(text: string, name: string): string {
  try {
    return (JSON.parse(text) as Problem).message;
  } catch {
    return `Cannot upload "${name}": the host's answer makes no sense. Try again`;
  }
}
