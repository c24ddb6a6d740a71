import { assertEquals } from "@std/assert";
import { type Claims, claimsOf, contradictions } from "../../sys/testing/headers.ts";
import { VHOST } from "../../sys/vhost.ts";
import { BlockConfig } from "./block.ts";
import { VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import { VIRTIO_F, VIRTIO_ID } from "./device.ts";
import { NetConfig } from "./net.ts";
import { VIRTIO_NET_F } from "./net_protocol.ts";

function numbers(prefix: string, table: Record<string, number>): Claims {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [prefix + key, value]));
}

Deno.test("the disk's configuration and numbers are those of the kernel's headers", () => {
  const renamed = {
    cylinders: "geometry.cylinders",
    heads: "geometry.heads",
    sectors: "geometry.sectors",
    writeback: "wce",
    unused0: "unused",
  };
  const claims = {
    ...claimsOf(BlockConfig, { renamed, partial: true }),
    ...numbers("VIRTIO_BLK_F_", VIRTIO_BLK_F),
    ...numbers("VIRTIO_BLK_T_", VIRTIO_BLK_T),
    ...numbers("VIRTIO_BLK_S_", VIRTIO_BLK_S),
  };
  assertEquals(contradictions(["linux/virtio_blk.h"], claims), []);
});

Deno.test("the network device's configuration and numbers are those of the kernel's headers", () => {
  const claims = {
    ...claimsOf(NetConfig, { partial: true }),
    ...numbers("VIRTIO_NET_F_", VIRTIO_NET_F),
    "offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers)": 10,
    "sizeof(struct virtio_net_hdr_mrg_rxbuf)": 12,
  };
  assertEquals(contradictions(["linux/virtio_net.h"], claims), []);
});

Deno.test("virtio's ids and ring features are those of the kernel's headers", () => {
  const { INDIRECT_DESC, EVENT_IDX, ...features } = VIRTIO_F;
  const claims = {
    ...numbers("VIRTIO_F_", features),
    ...numbers("VIRTIO_RING_F_", { INDIRECT_DESC, EVENT_IDX }),
    VIRTIO_ID_NET: VIRTIO_ID.net,
    VIRTIO_ID_BLOCK: VIRTIO_ID.block,
    VIRTIO_ID_CONSOLE: VIRTIO_ID.console,
    VIRTIO_ID_RNG: VIRTIO_ID.rng,
  };
  const includes = ["linux/virtio_config.h", "linux/virtio_ring.h", "linux/virtio_ids.h"];
  assertEquals(contradictions(includes, claims), []);
});

Deno.test("vhost's ioctl numbers are those of the kernel's headers", () => {
  const claims = Object.fromEntries(
    Object.entries(VHOST).map(([key, value]) => [`(unsigned)VHOST_${key}`, value]),
  );
  assertEquals(contradictions(["sys/ioctl.h", "linux/vhost.h"], claims), []);
});
