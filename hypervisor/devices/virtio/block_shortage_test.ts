import { assertEquals } from "@std/assert";
import { EDQUOT, ENOSPC } from "../../sys/errno.ts";
import { VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import { withEngine } from "./testing/held_engine.ts";

const { IN, OUT, FLUSH } = VIRTIO_BLK_T;
const UNANSWERED = 0xee;

Deno.test("a write that finds no room stops the guest and is kept until there is some", () => {
  for (const code of [ENOSPC, EDQUOT]) {
    withEngine({}, ({ driver, device, engine, host, elapse, add, status }) => {
      const head = add(0, OUT, 8, 1024);
      device.notify(0);
      engine.complete(engine.calls[0].tag, -code);
      device.notify(0);
      assertEquals(host.pauses, ['disk "/test.raw" has no room on the host']);
      assertEquals([driver.take(), status(0)], [undefined, UNANSWERED]);
      assertEquals(device.report().waitingForRoom, 1);
      for (let second = 1; second <= 3; second++) {
        elapse(1000);
        assertEquals(engine.calls.length, 1 + second);
        assertEquals(engine.calls[second], engine.calls[0]);
        if (second < 3) engine.complete(engine.calls[second].tag, -code);
        device.notify(0);
        assertEquals([host.pauses.length, host.resumes], [1, 0]);
      }
      engine.complete(engine.calls[3].tag, 1024);
      device.notify(0);
      assertEquals([host.resumes, host.timers], [1, 0]);
      assertEquals(driver.take(), { head, written: 1 });
      assertEquals(status(0), VIRTIO_BLK_S.OK);
      elapse(10_000);
      assertEquals(engine.calls.length, 4);
    });
  }
});

Deno.test("what was written before the room ran out is not written again", () => {
  withEngine({}, ({ device, engine, elapse, add, status }) => {
    add(0, OUT, 8, 1024);
    device.notify(0);
    engine.complete(engine.calls[0].tag, 512);
    device.notify(0);
    engine.complete(engine.calls[1].tag, -ENOSPC);
    device.notify(0);
    elapse(1000);
    assertEquals(engine.calls[2].position, 9 * 512);
    engine.complete(engine.calls[2].tag, 512);
    device.notify(0);
    assertEquals(status(0), VIRTIO_BLK_S.OK);
  });
});

Deno.test("many that find no room stop the guest once, and it goes on after the last", () => {
  withEngine({}, ({ device, engine, host, elapse, add, driver }) => {
    for (let i = 0; i < 5; i++) add(i, OUT, 8 * i, 512);
    device.notify(0);
    for (const { tag } of engine.calls.splice(0)) engine.complete(tag, -ENOSPC);
    device.notify(0);
    elapse(1000);
    assertEquals([host.pauses.length, engine.calls.length], [1, 5]);
    const last = engine.calls.pop()!;
    for (const { tag } of engine.calls.splice(0)) engine.complete(tag, 512);
    device.notify(0);
    assertEquals([host.resumes, driver.takeAll().length], [0, 4]);
    engine.complete(last.tag, -ENOSPC);
    device.notify(0);
    assertEquals(host.resumes, 0);
    elapse(1000);
    engine.complete(last.tag, 512);
    device.notify(0);
    assertEquals([host.pauses.length, host.resumes, driver.takeAll().length], [1, 1, 1]);
  });
});

Deno.test("a guest that is told to go on tries at once, and stops again where there is still no room", () => {
  withEngine({}, ({ device, engine, host, add, status }) => {
    add(1, OUT, 8, 512);
    device.notify(0);
    engine.complete(engine.calls[0].tag, -ENOSPC);
    device.notify(0);
    device.resumed();
    assertEquals(engine.calls.length, 2);
    engine.complete(engine.calls[1].tag, -ENOSPC);
    device.notify(0);
    assertEquals([host.pauses.length, host.timers], [2, 1]);
    device.resumed();
    engine.complete(engine.calls[2].tag, 512);
    device.notify(0);
    // Somebody else let it go on, so this does not.
    assertEquals([host.resumes, host.timers, status(1)], [0, 0, VIRTIO_BLK_S.OK]);
  });
});

Deno.test("others are answered meanwhile, and a flush that finds no room has failed", () => {
  withEngine({}, ({ device, engine, host, add, status }) => {
    add(0, OUT, 0, 512);
    add(1, IN, 0, 512);
    add(2, FLUSH, 0);
    device.notify(0);
    engine.complete(engine.calls[0].tag, -ENOSPC);
    engine.complete(engine.calls[1].tag, 512);
    engine.complete(engine.calls[2].tag, -ENOSPC);
    device.notify(0);
    assertEquals([status(0), status(1), status(2)], [
      UNANSWERED,
      VIRTIO_BLK_S.OK,
      VIRTIO_BLK_S.IOERR,
    ]);
    assertEquals(host.pauses.length, 1);
  });
});

Deno.test("a reset forgets what waits", () => {
  withEngine({}, ({ device, engine, host, add, elapse, driver }) => {
    add(0, OUT, 0, 512);
    device.notify(0);
    engine.complete(engine.calls[0].tag, -ENOSPC);
    device.notify(0);
    device.reset();
    assertEquals([host.resumes, host.timers], [1, 0]);
    elapse(5000);
    assertEquals([engine.calls.length, driver.take()], [1, undefined]);
  });
});
