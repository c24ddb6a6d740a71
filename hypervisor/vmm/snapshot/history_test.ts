import { assertEquals, assertThrows } from "@std/assert";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import type { TrackingSpec } from "../dirty_tracking.ts";
import { SaveHistory, type Tracking } from "./history.ts";

const LENGTH = 1 << 20;

class FakeTracking implements Tracking {
  spec: TrackingSpec | undefined;
  starts = 0;

  start(): TrackingSpec {
    this.starts++;
    return this.spec = { changes: DirtyPages.of(LENGTH).buffer } as TrackingSpec;
  }

  stop(): void {
    this.spec = undefined;
  }
}

function fresh() {
  const tracking = new FakeTracking();
  return { tracking, history: new SaveHistory(tracking) };
}

Deno.test("a copy that needs no changes has a point of its own, and leaves the base as it is", () => {
  const { tracking, history } = fresh();
  const alone = history.next();
  assertEquals([alone.sequence, tracking.starts], [1, 0]);
  const { point } = history.begin();
  history.succeeded(point, { track: true });
  const later = history.next();
  assertEquals([later.run, point.sequence, later.sequence], [alone.run, 2, 3]);
  history.check(point);
});

Deno.test("changes are tracked for a save, and after it only if that was asked for", () => {
  const { tracking, history } = fresh();
  const first = history.begin();
  assertEquals([first.point.sequence, first.tracking === tracking.spec], [1, true]);
  history.succeeded(first.point, { track: false });
  assertEquals(tracking.spec, undefined);
  assertThrows(() => history.check(first.point), Error, "changes are not tracked since");
  const second = history.begin();
  history.succeeded(second.point, { track: true });
  history.check(second.point);
  // The one after goes on with the same log.
  const third = history.begin();
  assertEquals([third.point.sequence, tracking.starts], [3, 2]);
  history.succeeded(third.point, { track: true });
  assertThrows(
    () => history.check(second.point),
    Error,
    "changes are tracked since save 3 of this run, and the base is 2",
  );
  history.check(third.point);
  const another = fresh().history.begin().point;
  assertThrows(() => history.check({ ...another, sequence: 3 }), Error, "of another run");
});

Deno.test("one that fails leaves the base, with all changes that it took", () => {
  const { tracking, history } = fresh();
  history.begin();
  history.failed();
  assertEquals(tracking.spec, undefined);
  const { point } = history.begin();
  history.succeeded(point, { track: true });
  history.begin();
  history.failed();
  history.check(point);
  history.begin();
  const taken = DirtyPages.of(LENGTH);
  taken.add(5 * 4096, 1);
  history.failed(taken);
  history.check(point);
  assertEquals(new DirtyPages(tracking.spec!.changes).has(5), true);
});
