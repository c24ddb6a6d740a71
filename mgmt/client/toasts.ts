/**
 * Short messages about what was just done, or could not be.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";

export interface Toast {
  id: number;
  kind: "done" | "problem";
  text: string;
}

export const toasts: Signal<Toast[]> = signal([]);

const STAY_MS = 6000;
let last = 0;

export function toast(kind: Toast["kind"], text: string): void {
  const id = ++last;
  toasts.value = [...toasts.peek().slice(-3), { id, kind, text }];
  // A problem stays until it is read.
  if (kind === "done") setTimeout(() => dismiss(id), STAY_MS);
}

export function dismiss(id: number): void {
  toasts.value = toasts.peek().filter((it) => it.id !== id);
}
