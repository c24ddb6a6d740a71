/**
 * A newer system on its way from this browser to the host. It belongs to no page: navigation inside the
 * console does not end it. How far it is, the host tells.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { Problem } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, csrfToken, messageOf } from "./api.ts";
import { takeAnswer, takeUpdate } from "./live_update.ts";
import { toast } from "./toasts.ts";

/** No signature is longer; what is, the host would refuse. */
const MOST_SIGNATURE_BYTES = 4096;

/** Whether this browser sends one. */
export const isSending: Signal<boolean> = signal(false);
let request: XMLHttpRequest | null = null;

/** The system and its signature among chosen files; why not, for a person, where they are not there. */
export function pairOf(files: readonly File[]): { efi: File; signature: File } | string {
  const signature = files.find(({ name }) => name.endsWith(".sig"));
  const efi = files.find(({ name }) => name.endsWith(".efi"));
  if (efi === undefined || signature === undefined || files.length !== 2) {
    return "Choose two files: the .efi, and the .efi.sig that belongs to it";
  }
  if (signature.size > MOST_SIGNATURE_BYTES || signature.size === 0) {
    return `${signature.name} is no signature: it has ${signature.size} bytes`;
  }
  return efi.size === 0 ? `${efi.name} is empty` : { efi, signature };
}

export async function sendSystem(
  { efi, signature }: { efi: File; signature: File },
): Promise<void> {
  const bytes = new Uint8Array(await signature.arrayBuffer());
  const encoded = btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const asked = request = new XMLHttpRequest();
  const end = () => {
    request = null;
    isSending.value = false;
    removeEventListener("beforeunload", warn);
  };
  asked.onload = () => {
    end();
    if (asked.status !== 200) return toast("problem", problemText(asked.responseText));
    takeUpdate(JSON.parse(asked.responseText));
    toast("done", "The update is ready: the next restart tries it");
  };
  asked.onerror = () => {
    end();
    toast("problem", "Cannot upload the update: the connection broke. Try again");
  };
  asked.onabort = end;
  asked.open("PUT", `/api/v1/host/update?signature=${encoded}`);
  asked.setRequestHeader("x-csrf-token", csrfToken());
  asked.setRequestHeader("x-upload-length", String(efi.size));
  asked.setRequestHeader("content-type", "application/octet-stream");
  addEventListener("beforeunload", warn);
  isSending.value = true;
  asked.send(efi);
}

/** Gives up whatever is being taken in, by whomever it was begun. */
export async function cancelSystem(): Promise<void> {
  try {
    await takeAnswer(call("cancelUpdate", {}));
  } catch (error) {
    // It may not have come to the host yet.
    if (request === null) toast("problem", messageOf(error));
  }
  request?.abort();
}

function warn(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

function problemText(text: string): string {
  try {
    return (JSON.parse(text) as Problem).message;
  } catch {
    return "Cannot upload the update: the host's answer makes no sense. Try again";
  }
}
