import { assertEquals } from "@std/assert";
import type { TaskPoint } from "../api/schemas.ts";
import { CopyProgress } from "./copy_progress.ts";

Deno.test("points have what goes through a second, and what the guest changed in a round", () => {
  let now = 0;
  const points: Omit<TaskPoint, "atMs">[] = [];
  const phases: string[] = [];
  const amounts: number[][] = [];
  const progress = new CopyProgress({
    phase: (text) => phases.push(text),
    progress: (done, total) => amounts.push([done, total]),
    point: (point) => points.push(point),
  }, { now: () => now });
  const tell = (at: number, [doneBytes, remainingBytes, rounds]: number[]) => {
    now = at;
    progress.tell({ doneBytes, totalBytes: 1000, remainingBytes, rounds }, "Copying");
  };
  tell(0, [0, 1000, 1]);
  tell(100, [100, 900, 1]);
  tell(110, [110, 890, 1]);
  tell(1000, [1000, 200, 2]);
  tell(2000, [1100, 100, 2]);
  assertEquals(points, [
    { remainingBytes: 900, bytesPerSecond: 1000, changedBytesPerSecond: 0 },
    { remainingBytes: 200, bytesPerSecond: 1000, changedBytesPerSecond: 200 },
    { remainingBytes: 100, bytesPerSecond: 100, changedBytesPerSecond: 200 },
  ]);
  assertEquals(phases, ["Copying"]);
  assertEquals(amounts.length, 5);
});
