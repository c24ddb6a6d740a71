import { assertEquals } from "@std/assert";
import { PARTITION_TYPES } from "../../../bootimg/disk/gpt.ts";
import { tellIdle, writesByPartition } from "./idle_writes.ts";
import type { LoggedWrite } from "./write_log.ts";

const write = (offset: number, bytes: number, flush = false): LoggedWrite => ({
  ...{ offset, bytes, flush, fua: false, discard: false, data: 0, end: 0 },
});

Deno.test("writes are told by the partition that they are in", () => {
  const table = {
    diskId: crypto.randomUUID(),
    partitions: [{
      ...{ number: 1, type: PARTITION_TYPES.basicData, id: crypto.randomUUID(), name: "data" },
      ...{ firstSector: 2048, lastSector: 4095 },
    }],
  };
  const MIB = 2 ** 20;
  const writes = [write(0, 512), write(MIB, 4096), write(MIB + 4096, 512), write(0, 0, true)];
  assertEquals(writesByPartition(table, writes), [
    { partition: "none", writes: 1, bytes: 512, places: [{ offset: 0, bytes: 512 }] },
    { partition: "data", writes: 2, bytes: 4608, places: [{ offset: 0, bytes: 4608 }] },
  ]);
  assertEquals(tellIdle(table, writes, 10)[0], "idle for 10 min: 1 flushes");
});
