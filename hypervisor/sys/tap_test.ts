import { assertEquals, assertThrows } from "@std/assert";
import { close } from "./files.ts";
import { linkStatistics } from "./link_statistics.ts";
import { mtuOf } from "./links.ts";
import { createTap, interfaceExists, removeTap } from "./tap.ts";
import { discardFrames } from "./tap_frames.ts";
import { canSegmentUdp, setCarrier, setFilter, setOffloads, TUN_F } from "./tap_offloads.ts";
import { openTap, useQueue } from "./tap_queues.ts";

const ignore = !hasTun();

function hasTun(): boolean {
  try {
    return Deno.statSync("/dev/net/tun").isCharDevice === true;
  } catch {
    return false;
  }
}

function withTap(
  options: { multiQueue?: boolean; mtu?: number },
  run: (name: string) => void,
): void {
  const name = `dvq${crypto.randomUUID().slice(0, 8)}`;
  createTap(name, options);
  try {
    run(name);
  } finally {
    removeTap(name);
  }
}

const queuesInUse = (name: string) =>
  [...Deno.readDirSync(`/sys/class/net/${name}/queues`)].filter(({ name }) =>
    name.startsWith("tx-")
  )
    .length;

Deno.test({ name: "of a tap's queues the first is in use, others on demand", ignore }, () => {
  withTap({ multiQueue: true }, (name) => {
    const fds = openTap(name, { queues: 4, exactly: true });
    assertEquals(fds.length, 4);
    assertEquals(queuesInUse(name), 1);
    for (const fd of fds.slice(1)) useQueue(fd, true);
    assertEquals(queuesInUse(name), 4);
    for (const fd of fds.slice(1).reverse()) useQueue(fd, false);
    assertEquals(queuesInUse(name), 1);
    for (const fd of fds) close(fd);
  });
});

Deno.test({ name: "a tap with one queue gives one, unless fewer will not do", ignore }, () => {
  withTap({}, (name) => {
    const fds = openTap(name, { queues: 4 });
    assertEquals(fds.length, 1);
    close(fds[0]);
    assertThrows(
      () => openTap(name, { queues: 4, exactly: true }),
      Error,
      `Cannot open the tap "${name}" with 4 queues: it has one`,
    );
  });
});

Deno.test({ name: "a tap that may have several queues also gives one", ignore }, () => {
  withTap({ multiQueue: true }, (name) => {
    const fds = openTap(name);
    assertEquals(fds.length, 1);
    close(fds[0]);
  });
});

Deno.test({ name: "a tap that does not exist, or that another holds, is refused", ignore }, () => {
  assertThrows(() => openTap("dvt-missing"), Error, "there is no such interface");
  assertThrows(() => openTap("lo"), Error, 'Cannot open the tap "lo"');
  for (const multiQueue of [false, true]) {
    withTap({ multiQueue }, (name) => {
      const fds = openTap(name, { queues: multiQueue ? 2 : 1 });
      assertThrows(() => openTap(name), Error, "another guest uses it");
      assertThrows(() => openTap(name, { queues: 2 }), Error, "another guest uses it");
      assertEquals(removeTap(name), false);
      for (const fd of fds) close(fd);
      assertEquals(removeTap(name), true);
      assertEquals(interfaceExists(name), false);
    });
  }
});

Deno.test({ name: "a tap has the MTU that it was made with", ignore }, () => {
  withTap({ mtu: 9000 }, (name) => assertEquals(mtuOf(name), 9000));
});

Deno.test({ name: "without a carrier the host sees its cable unplugged", ignore }, () => {
  withTap({}, (name) => {
    const [fd] = openTap(name);
    const carrier = () => Deno.readTextFileSync(`/sys/class/net/${name}/carrier`).trim();
    assertEquals(carrier(), "1");
    setCarrier(fd, false);
    assertEquals(carrier(), "0");
    setCarrier(fd, true);
    assertEquals(carrier(), "1");
    close(fd);
  });
});

Deno.test({ name: "offloads and filters are taken in any combination", ignore }, () => {
  withTap({}, (name) => {
    const [fd] = openTap(name);
    const udp = canSegmentUdp(fd) ? TUN_F.USO4 | TUN_F.USO6 : 0;
    for (let bits = 0; bits < 16; bits++) setOffloads(fd, bits);
    setOffloads(fd, TUN_F.CSUM | udp);
    for (const count of [0, 1, 8, 9, 200]) {
      const addresses = new Uint8Array(6 * count).fill(1);
      for (const allMulticast of [false, true]) setFilter(fd, { addresses, allMulticast });
    }
    setFilter(fd, undefined);
    discardFrames(fd);
    close(fd);
  });
});

Deno.test(
  { name: "an interface's counters can be read, those of a missing one not", ignore },
  () => {
    withTap({}, (name) => assertEquals(linkStatistics(name)?.rx_packets, 0));
    assertEquals(linkStatistics("dvt-missing"), undefined);
  },
);
