import { assertEquals } from "@std/assert";
import { EAGAIN, EINTR, EIO, EOPNOTSUPP } from "../../sys/errno.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import { VIRTIO_F } from "./device.ts";
import { AREA, withEngine } from "./testing/held_engine.ts";

const { IN, OUT, FLUSH } = VIRTIO_BLK_T;
Deno.test("requests may complete in any order", () => {
  withEngine({ features: [VIRTIO_BLK_F.FLUSH] }, ({ driver, device, engine, add, status }) => {
    const heads = [add(0, IN, 0, 512), add(1, OUT, 8, 512), add(2, FLUSH, 0)];
    device.notify(0);
    assertEquals(engine.calls.map(({ kind }) => kind), ["read", "write", "sync"]);
    assertEquals(driver.take(), undefined);
    engine.complete(engine.calls[2].tag, 0);
    engine.complete(engine.calls[0].tag, 512);
    device.notify(0);
    assertEquals(driver.takeAll(), [
      { head: heads[2], written: 1 },
      { head: heads[0], written: 513 },
    ]);
    assertEquals([status(0), status(1), status(2)], [0, 0xee, 0]);
    engine.complete(engine.calls[1].tag, 512);
    device.notify(0);
    assertEquals(driver.takeAll(), [{ head: heads[1], written: 1 }]);
  });
});

Deno.test("a short transfer goes on where it ended", () => {
  withEngine({ features: [VIRTIO_BLK_F.FLUSH] }, ({ driver, device, engine, add, status }) => {
    const head = add(0, IN, 4, 1000, 1000, 48);
    device.notify(0);
    const at = AREA + 0x1000;
    const [{ tag, pieces, position }] = engine.calls;
    assertEquals(pieces, [[at, 1000], [at + 1000, 1000], [at + 2000, 48]]);
    assertEquals(position, 4 * 512);
    engine.complete(tag, 1500);
    device.notify(0);
    assertEquals(engine.calls[1].pieces, [[at + 1500, 500], [at + 2000, 48]]);
    assertEquals(engine.calls[1].position, 4 * 512 + 1500);
    engine.complete(engine.calls[1].tag, 500);
    device.notify(0);
    assertEquals(engine.calls[2].pieces, [[at + 2000, 48]]);
    engine.complete(engine.calls[2].tag, 48);
    device.notify(0);
    assertEquals(driver.take(), { head, written: 2049 });
    assertEquals(status(0), VIRTIO_BLK_S.OK);
  });
});

Deno.test("an interrupted transfer is tried again, a failed one is an I/O error", () => {
  for (const again of [EINTR, EAGAIN]) {
    withEngine({ features: [VIRTIO_BLK_F.FLUSH] }, ({ driver, device, engine, add, status }) => {
      add(0, OUT, 0, 512);
      add(1, FLUSH, 0);
      device.notify(0);
      for (const { tag } of [...engine.calls]) engine.complete(tag, -again);
      device.notify(0);
      assertEquals(engine.calls.map(({ kind }) => kind), ["write", "sync", "write", "sync"]);
      for (const { tag } of engine.calls.slice(2)) engine.complete(tag, -EIO);
      device.notify(0);
      assertEquals(driver.takeAll().map(({ written }) => written), [1, 1]);
      assertEquals([status(0), status(1)], [VIRTIO_BLK_S.IOERR, VIRTIO_BLK_S.IOERR]);
    });
  }
});

Deno.test("a failed read counts no bytes as written", () => {
  withEngine({ features: [VIRTIO_BLK_F.FLUSH] }, ({ driver, device, engine, add }) => {
    const head = add(0, IN, 0, 512);
    device.notify(0);
    engine.complete(engine.calls[0].tag, -EOPNOTSUPP);
    device.notify(0);
    assertEquals(driver.take(), { head, written: 0 });
  });
});

Deno.test("section 5.2.6.2: writes of a driver that does not flush are made stable one by one", () => {
  for (const flush of [true, false]) {
    withEngine({ features: flush ? [VIRTIO_BLK_F.FLUSH] : [] }, ({ device, engine, add }) => {
      add(0, OUT, 0, 512);
      device.notify(0);
      assertEquals(engine.calls[0].stable, !flush);
    });
  }
});

Deno.test("a reset waits for what is in flight and answers nothing", () => {
  withEngine({ features: [VIRTIO_BLK_F.FLUSH] }, ({ driver, device, engine, add, status }) => {
    add(0, IN, 0, 512);
    add(1, OUT, 0, 512);
    device.notify(0);
    assertEquals(engine.inFlight, 2);
    device.reset();
    assertEquals(engine.waits, 1);
    assertEquals(driver.take(), undefined);
    assertEquals([status(0), status(1)], [0xee, 0xee]);
  });
});

Deno.test("as many requests can be in flight as the queue has entries", () => {
  withEngine(
    { features: [VIRTIO_BLK_F.FLUSH, VIRTIO_F.INDIRECT_DESC] },
    ({ driver, device, engine, memory }) => {
      memory.view.setUint32(AREA, FLUSH, true);
      // One descriptor per chain: an indirect table that all of them share.
      const status = { address: AREA + 16, length: 1, writable: true };
      const buffers = [{ address: AREA, length: 16 }, status];
      const all = () => {
        while (driver.add(buffers, { indirectTable: 0x8000 }) >= 0);
      };
      for (let round = 0; round < 3; round++) {
        all();
        device.notify(0);
        assertEquals(engine.inFlight, 64);
        assertEquals(new Set(engine.calls.map(({ tag }) => tag)).size, 64);
        for (const { tag } of engine.calls.splice(0)) engine.complete(tag, 0);
        device.notify(0);
        assertEquals(driver.takeAll().length, 64);
      }
    },
  );
});
