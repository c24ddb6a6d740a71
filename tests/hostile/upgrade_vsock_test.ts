/**
 * A guest with a stream to a program of the host, by vhost-vsock, goes on in another VMM: it hears that the
 * stream is gone, and its next one comes about.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import {
  EVENT,
  HOST_CID,
  RX,
  TX,
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHeader,
} from "../../hypervisor/devices/virtio/vsock_protocol.ts";
import { close } from "../../hypervisor/sys/files.ts";
import { openVhostVsock } from "../../hypervisor/sys/vhost_vsock.ts";
import { EXIT_CODES } from "../../hypervisor/vmm/control.ts";
import { HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { PassingBetween } from "./passing_between.ts";
import { F_WRITE, GuestDriver } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";
import { Giver, TakingVmm } from "./upgrading_guest.ts";

const CID = 4712;
const PORT = 5001;
const BUFFER_BYTES = 4096;
const OPEN = "a stream is open";

function hasVhost(): boolean {
  try {
    close(openVhostVsock());
    return true;
  } catch {
    return false;
  }
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !hasVhost(), fn });

/** Deno has AF_VSOCK behind a flag that the tests are not run with. */
const LISTENS = `
  const listener = Deno.listen({ transport: "vsock", cid: -1, port: ${PORT} });
  console.log("ready");
  for (const _ of [1, 2]) {
    const connection = await listener.accept();
    // As an error, or as an end: it is the kernel's to say.
    connection.read(new Uint8Array(64)).catch(() => null)
      .then((heard) => console.log(heard === null ? "it is gone" : "it says something"));
  }
`;

/** Opens a stream, waits until all streams are gone, and opens another. */
function connectsTwice(program: GuestProgram): void {
  const driver = new GuestDriver(program, VIRTIO_ID.vsock, { queues: 3 });
  const [packet, received, event] = [0, 0, 0].map(() => program.allocate(BUFFER_BYTES));
  const offer = (queue: number, address: number, length: number) => {
    driver.chain([{ address, length, flags: F_WRITE }], queue);
    driver.offer([0], queue);
    driver.kick(queue);
  };
  const connects = (port: number) => {
    const header = VsockHeader.create({
      ...{ src_cid: CID, dst_cid: HOST_CID, src_port: port, dst_port: PORT },
      ...{ type: VIRTIO_VSOCK_TYPE_STREAM, op: OP.REQUEST, buf_alloc: 65536 },
    });
    offer(RX, received, BUFFER_BYTES);
    header.$bytes.forEach((byte, i) => program.write(packet + i, 1, byte));
    driver.roundTrip([{ address: packet, length: VsockHeader.size }], 0, TX);
    driver.expectUsed(0, VsockHeader.size, RX);
    program.read(received + VsockHeader.offsets.op, 2);
    program.expect("what the host says", OP.RESPONSE);
  };
  driver.start();
  program.write(event, 4, 0xEEEE_EEEE);
  offer(EVENT, event, 4);
  program.case(OPEN, () => connects(50));
  program.case("it hears that its stream is gone", () => {
    driver.expectUsed(0, 4, EVENT);
    program.read(event, 4);
    program.expect("the event", VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
  });
  program.waitForTest();
  program.case("its next one comes about", () => connects(51));
}

class HostProgram implements AsyncDisposable {
  readonly #child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--unstable-vsock", "--no-config", LISTENS],
    stdout: "piped",
  }).spawn();
  readonly #words = this.#child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();

  async said(): Promise<string> {
    return (await this.#words.next()).value ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#words.return?.();
  }
}

const giving = () =>
  Giver.running({ works: connectsTwice, more: ["--vsock", `,backend=vhost,cid=${CID}`] });

test("a guest's streams over vhost-vsock are reset where it goes on, and new ones come about", async () => {
  await using host = new HostProgram();
  assertEquals(await host.said(), "ready\n");
  using giver = await giving();
  await giver.guest.isThrough(OPEN);
  await using vmm = await TakingVmm.started();
  const last = (await giver.upgrade(vmm.socket)).at(-1);
  assertMatch(last.upgraded ?? last.error, /^[0-9a-f]{32}$/);
  console.log(`it stood still for ${last.pauseMs} ms`);
  assertEquals(await host.said(), "it is gone\n");
  assertEquals((await giver.guest.ended()).code, EXIT_CODES.upgraded);
  await vmm.runs(giver);
});

test("one whose new VMM is killed at the last moment goes on where it was, likewise", async () => {
  await using host = new HostProgram();
  assertEquals(await host.said(), "ready\n");
  using giver = await giving();
  await giver.guest.isThrough(OPEN);
  await using vmm = await TakingVmm.started();
  let killed = false;
  using between = new PassingBetween({
    ...{ folder: giver.folder.path, to: vmm.socket },
    async passing(what) {
      if (what !== "go" || killed) return;
      killed = true;
      vmm.kill();
      await vmm.ended();
    },
  });
  assertMatch((await giver.upgrade(between.socket)).at(-1).error, /^Cannot upgrade the guest: /);
  assert(killed);
  await giver.runsHere();
  await between.done;
});

test("one whose old VMM is killed goes on in the new one, likewise", async () => {
  await using host = new HostProgram();
  assertEquals(await host.said(), "ready\n");
  using giver = await giving();
  await giver.guest.isThrough(OPEN);
  await using vmm = await TakingVmm.started();
  let killed = false;
  using between = new PassingBetween({
    ...{ folder: giver.folder.path, to: vmm.socket },
    async passing(what) {
      if (what !== "ready" || killed) return;
      killed = true;
      await giver.guest.kill();
    },
  });
  await giver.upgrade(between.socket).catch(() => {});
  await between.done;
  assert(killed);
  await vmm.runs(giver);
});
