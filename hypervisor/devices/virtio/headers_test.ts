import { assertEquals } from "@std/assert";
import { type Claims, claimsOf, contradictions } from "../../sys/testing/headers.ts";
import { VHOST } from "../../sys/vhost.ts";
import { BalloonConfig, VIRTIO_BALLOON_F } from "./balloon.ts";
import { STATISTICS } from "./balloon_statistics.ts";
import { BlockConfig, VIRTIO_BLK_F, VIRTIO_BLK_S, VIRTIO_BLK_T } from "./block_protocol.ts";
import {
  ConsoleConfig,
  ConsoleControl,
  VIRTIO_CONSOLE,
  VIRTIO_CONSOLE_F,
} from "./console_protocol.ts";
import { VIRTIO_F, VIRTIO_ID } from "./device.ts";
import {
  MemConfig,
  MemRequest,
  MemResponse,
  VIRTIO_MEM_F,
  VIRTIO_MEM_REQ,
  VIRTIO_MEM_RESP,
  VIRTIO_MEM_STATE,
} from "./mem.ts";
import {
  NetConfig,
  VIRTIO_NET_CTRL,
  VIRTIO_NET_CTRL_ANNOUNCE,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_CTRL_MAC,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_F,
  VIRTIO_NET_S,
} from "./net_protocol.ts";
import {
  HOST_CID,
  VIRTIO_VSOCK_OP,
  VIRTIO_VSOCK_SHUTDOWN,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHeader,
} from "./vsock_protocol.ts";

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
  // Newer than the headers of Linux 6.1.
  const { GUEST_USO4: _4, GUEST_USO6: _6, HOST_USO: _, ...features } = VIRTIO_NET_F;
  const claims = {
    ...claimsOf(NetConfig, { partial: true }),
    ...numbers("VIRTIO_NET_F_", features),
    ...numbers("VIRTIO_NET_S_", VIRTIO_NET_S),
    ...numbers("VIRTIO_NET_CTRL_", VIRTIO_NET_CTRL),
    ...numbers("VIRTIO_NET_CTRL_RX_", VIRTIO_NET_CTRL_RX),
    ...numbers("VIRTIO_NET_CTRL_MAC_", VIRTIO_NET_CTRL_MAC),
    ...numbers("VIRTIO_NET_CTRL_ANNOUNCE_", VIRTIO_NET_CTRL_ANNOUNCE),
    ...numbers("VIRTIO_NET_CTRL_MQ_", VIRTIO_NET_CTRL_MQ),
    ...numbers("VIRTIO_NET_CTRL_GUEST_OFFLOADS_", VIRTIO_NET_CTRL_GUEST_OFFLOADS),
    "offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers)": 10,
    "sizeof(struct virtio_net_hdr_mrg_rxbuf)": 12,
  };
  assertEquals(contradictions(["linux/virtio_net.h"], claims), []);
});

Deno.test("the balloon's configuration, numbers and tags are those of the kernel's headers", () => {
  const { STATS_VQ, DEFLATE_ON_OOM, PAGE_POISON, REPORTING } = VIRTIO_BALLOON_F;
  const claims = {
    ...claimsOf(BalloonConfig),
    ...numbers("VIRTIO_BALLOON_F_", { STATS_VQ, DEFLATE_ON_OOM, PAGE_POISON, REPORTING }),
    "sizeof(struct virtio_balloon_stat)": 10,
    VIRTIO_BALLOON_S_SWAP_IN: STATISTICS.indexOf("swapInBytes"),
    VIRTIO_BALLOON_S_MINFLT: STATISTICS.indexOf("minorFaults"),
    VIRTIO_BALLOON_S_MEMFREE: STATISTICS.indexOf("freeBytes"),
    VIRTIO_BALLOON_S_AVAIL: STATISTICS.indexOf("availableBytes"),
    VIRTIO_BALLOON_S_HTLB_PGFAIL: STATISTICS.indexOf("hugePageFailures"),
  };
  assertEquals(contradictions(["linux/types.h", "linux/virtio_balloon.h"], claims), []);
});

Deno.test("the memory device's structs and numbers are those of the kernel's headers", () => {
  const renamed = {
    addr: "u.plug.addr",
    nb_blocks: "u.plug.nb_blocks",
    padding2: "u.plug.padding",
  };
  const claims = {
    ...claimsOf(MemConfig),
    ...claimsOf(MemRequest, { renamed }),
    ...claimsOf(MemResponse, { renamed: { state: "u.state.state" } }),
    ...numbers("VIRTIO_MEM_F_", VIRTIO_MEM_F),
    ...numbers("VIRTIO_MEM_REQ_", VIRTIO_MEM_REQ),
    ...numbers("VIRTIO_MEM_RESP_", VIRTIO_MEM_RESP),
    ...numbers("VIRTIO_MEM_STATE_", VIRTIO_MEM_STATE),
  };
  assertEquals(contradictions(["linux/types.h", "linux/virtio_mem.h"], claims), []);
});

Deno.test("the console's configuration and messages are those of the kernel's headers", () => {
  const claims = {
    ...claimsOf(ConsoleConfig),
    ...claimsOf(ConsoleControl),
    ...numbers("VIRTIO_CONSOLE_F_", VIRTIO_CONSOLE_F),
    ...numbers("VIRTIO_CONSOLE_", VIRTIO_CONSOLE),
  };
  assertEquals(contradictions(["linux/virtio_console.h"], claims), []);
});

Deno.test("the socket device's header and numbers are those of the kernel's headers", () => {
  // Its 64-bit addresses are two words here.
  const claims = {
    ...claimsOf(VsockHeader, { ours: ["src_cid_high", "dst_cid_high"] }),
    ...numbers("VIRTIO_VSOCK_OP_", VIRTIO_VSOCK_OP),
    ...numbers("VIRTIO_VSOCK_SHUTDOWN_", VIRTIO_VSOCK_SHUTDOWN),
    VIRTIO_VSOCK_TYPE_STREAM: VIRTIO_VSOCK_TYPE_STREAM,
    VMADDR_CID_HOST: HOST_CID,
  };
  const includes = ["linux/vm_sockets.h", "linux/virtio_vsock.h"];
  assertEquals(contradictions(includes, claims), []);
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
    VIRTIO_ID_BALLOON: VIRTIO_ID.balloon,
    VIRTIO_ID_MEM: VIRTIO_ID.mem,
    VIRTIO_ID_VSOCK: VIRTIO_ID.vsock,
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
