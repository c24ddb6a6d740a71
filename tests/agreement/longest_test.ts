/**
 * The longest bodies that the schemas allow come through everywhere.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import {
  CLOUD_INIT_MOST,
  GuestCreate,
  MOST_CPUS,
  MOST_DISKS,
  MOST_HOST_CPUS,
  MOST_NETS,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { newCloudInit } from "../../hypervisor/supervisor/cloud_init/settings.ts";
import { SEED_BYTES, seedImage, seedOf } from "../../hypervisor/supervisor/cloud_init/seed.ts";
import { MAX_BODY_BYTES } from "../../hypervisor/supervisor/http/body.ts";
import { diskRecord } from "../../hypervisor/supervisor/lives/disk_changes.ts";
import { netRecord } from "../../hypervisor/supervisor/lives/net_changes.ts";
import { firstRun } from "../../hypervisor/supervisor/lives/run.ts";
import { MAX_MESSAGE_BYTES } from "../../hypervisor/supervisor/peers/frames.ts";
import { pack, Parcel } from "../../hypervisor/supervisor/peers/parcel.ts";
import type { GuestRecord } from "../../hypervisor/supervisor/store/guests.ts";
import { LIMITS } from "../../mgmt/gate/limits.ts";

const limit = {
  ...{ operationsPerSecond: 1e12, operationsBurst: 1e12 },
  ...{ bytesPerSecond: 1e12, bytesBurst: 1e12 },
};
const { userDataBytes, networkConfigBytes, sshKeys, sshKeyCharacters } = CLOUD_INIT_MOST;
const type = "ssh-rsa";
const key = `${type} ${btoa(`\0\0\0\x07${type}key`)} `.padEnd(sshKeyCharacters, '"');

/** With the most of everything, of letters that take two in JSON where they may. */
const BODY: GuestCreate = {
  name: "n".repeat(63),
  kernel: "k".repeat(100),
  initrd: "i".repeat(100),
  cmdline: '"'.repeat(2047),
  cpus: MOST_CPUS,
  cpu: {
    pinning: Array.from(
      { length: MOST_CPUS },
      () => Array.from({ length: MOST_HOST_CPUS }, (_, n) => n),
    ),
  },
  disks: Array.from({ length: MOST_DISKS }, (_, n) => ({
    ...{ name: `${n}`.padEnd(32, "d"), image: "i".repeat(100), sizeMiB: 2 ** 26 },
    rateLimit: limit,
  })),
  nets: Array.from({ length: MOST_NETS }, (_, n) => ({
    ...{ mac: `52:54:00:00:00:0${n}`, bridge: "b".repeat(15), mtu: 65521, queues: 8 },
    ...{ receiveLimit: limit, sendLimit: limit },
  })),
  cloudInit: {
    userData: "#!".padEnd(userDataBytes, "\n"),
    networkConfig: "version: 2".padEnd(networkConfigBytes, "\n"),
    hostname: Array(4).fill("h".repeat(62)).join("."),
    sshKeys: Array(sshKeys).fill(key),
  },
};

Deno.test("the console and the supervisor take the longest guest that there may be", () => {
  GuestCreate.parse(BODY);
  const { length } = new TextEncoder().encode(JSON.stringify(BODY));
  assert(length > MAX_BODY_BYTES / 2 && length < MAX_BODY_BYTES, `${length} bytes`);
  assertEquals(LIMITS.bodyBytes, MAX_BODY_BYTES);
});

Deno.test("it has room on its cloud-init disk, and in what one host says to another", () => {
  const ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const body = GuestCreate.parse(BODY);
  const guest: GuestRecord = {
    ...body,
    id: ID,
    disks: body.disks.map((wish, i) =>
      diskRecord(wish, {
        id: ID.slice(0, -2) + (10 + i),
        name: `d${i}`,
        file: "disk.img",
        sizeMiB: 1,
      })
    ),
    nets: body.nets.map(netRecord),
    cloudInit: newCloudInit(body.cloudInit, "Cannot"),
    createdAt: new Date().toISOString(),
    error: null,
  };
  assertEquals(seedImage(seedOf(guest)!).length, SEED_BYTES);
  const parcel = pack(guest, firstRun(guest), () => undefined);
  const { length } = new TextEncoder().encode(JSON.stringify(parcel));
  assert(length > MAX_MESSAGE_BYTES / 4 && length < MAX_MESSAGE_BYTES * 0.9, `${length} bytes`);
  // But for the one name that its disks' files share here.
  const { error } = Parcel.safeParse(parcel);
  assertEquals(error?.issues.map(({ message }) => message), ["share a file"]);
});
