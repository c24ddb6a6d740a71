/**
 * A stock guest at work on its disk, its network and its memory, which is copied while it runs.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { GUEST_LOGIN } from "../../scripts/setup/guests.ts";
import { quickGuest } from "../../scripts/setup/quick_guest.ts";
import { DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import { close, O_RDWR, open } from "../../hypervisor/sys/files.ts";
import { map } from "../../hypervisor/sys/mapping.ts";
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { Mover, type MoverOptions } from "../../hypervisor/vmm/mover.ts";
import { type Script, ScriptedGuest } from "../scripted_guest.ts";

const MiB = 2 ** 20;
const PAGE = 4096;
const TAP = "labtap7";
const PATIENCE_MS = 720_000;
/** How long a person takes to answer a prompt, at least. */
const ANSWER_MS = 2000;
/** The guest works this long between two copies. */
const BETWEEN_MS = 5000;

/** What the guest does all the while; its reads come from the disk and not from its cache. */
const LOAD = [
  "(while :; do cat /dev/vda > /dev/null; echo 1 > /proc/sys/vm/drop_caches; done) &",
  "(while :; do head -c 4M /dev/urandom > /mnt/noise; done) &",
  "(while :; do head -c 1M /dev/urandom > /root/noise; sync; done) &",
].join(" ");

/** Sends packets to the guest for as long as it runs, as nobody answers while the VMM's loop does. */
const SENDER = `
  const socket = Deno.listenDatagram({ hostname: "10.97.0.1", port: 7000, transport: "udp" });
  const packet = new Uint8Array(1200);
  for (;;) {
    crypto.getRandomValues(packet);
    const to = { hostname: "10.97.0.2", port: 9, transport: "udp" };
    for (let i = 0; i < 20; i++) await socket.send(packet, to).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
  }`;

class BusyGuest {
  readonly scripted: ScriptedGuest;
  isReady = false;
  stalls = 0;
  ended: Error | undefined | null = null;
  mover!: Mover;

  constructor(config: GuestConfig) {
    this.scripted = new ScriptedGuest(config);
  }

  get guest() {
    return this.scripted.guest;
  }

  /** Runs a command at the prompt; what it printed. */
  *command(command: string): Generator<() => boolean, string> {
    // Put together by the shell, so that the echo of what is typed does not match.
    this.scripted.type(`echo BEG''IN; ${command}; echo EN''D:$?\n`);
    const [, printed, status] = yield* this.scripted.expect(/BEGIN\r?\n([^]*?)END:(\d+)/);
    assertEquals(status, "0", `${command}: ${printed}`);
    return printed.replaceAll("\r", "").trim();
  }

  *logIn(): Script {
    yield* this.scripted.expect(/login: /);
    this.scripted.type(`${GUEST_LOGIN.user}\n`);
    yield* this.scripted.expect(/assword: /);
    // Once it has asked, it throws away what was typed until then.
    yield* this.scripted.wait(ANSWER_MS);
    this.scripted.type(`${GUEST_LOGIN.password}\n`);
    yield* this.scripted.expect(/[#$] $/);
  }

  *startLoad(): Script {
    const nic = yield* this.command("ls /sys/class/net | grep -v lo");
    yield* this.command(`ip addr add 10.97.0.2/24 dev ${nic} && ip link set ${nic} up`);
    yield* this.command("mkdir -p /mnt && mount -t tmpfs tmpfs /mnt");
    yield* this.command(`${LOAD} sleep 1`);
  }

  move(task: MoverOptions["task"], options: Partial<MoverOptions>): void {
    this.isReady = false;
    this.stalls = 0;
    this.ended = null;
    this.mover = new Mover(this.scripted.loop, {
      memory: this.guest.memory.spec,
      task,
      ready: () => this.isReady = true,
      stalled: () => this.stalls++,
      ended: (error) => this.ended = error,
      ...options,
    });
  }

  /** Nothing writes to its memory any more: no vCPU, no disk, no vhost. */
  *stop(): Script {
    yield* this.scripted.pause();
    this.guest.change("net0", { linkUp: false });
    yield () => this.guest.devices().block0.inFlight === 0;
  }

  *goOn(): Script {
    this.guest.change("net0", { linkUp: true });
    this.guest.resume();
    yield () => true;
  }

  *lastRound(): Script {
    yield* this.stop();
    this.mover.finish();
    yield () => this.ended !== null;
    assertEquals(this.ended, undefined);
  }

  /** The file against memory, byte by byte. */
  isFileRight(fd: number): void {
    const memory = this.guest.memory.view.bytes;
    const file = map(memory.length, { fd, private: true });
    const bytes = new Uint8Array(file.buffer);
    const wrong: number[] = [];
    for (let at = 0; at < memory.length; at += MiB) {
      if (Buffer.compare(bytes.subarray(at, at + MiB), memory.subarray(at, at + MiB)) === 0) {
        continue;
      }
      for (let page = at; page < at + MiB; page += PAGE) {
        const same = Buffer.compare(
          bytes.subarray(page, page + PAGE),
          memory.subarray(page, page + PAGE),
        );
        if (same !== 0) wrong.push(page / PAGE);
      }
    }
    file.unmap();
    assertEquals(wrong, [], `${wrong.length} pages are not what memory is`);
  }

  /** While it is stopped, nothing changes; what its devices and CPUs did before has been told. */
  *copies(folder: string): Script {
    const file = open(Deno.makeTempFileSync({ dir: folder }), O_RDWR);
    const began = performance.now();
    const tracking = this.guest.tracking.start();
    this.move({ kind: "file", fd: file, full: true, tracking }, { allowedPauseMs: 500 });
    yield () => this.isReady || this.stalls >= 3;
    const rounds = this.mover.progress.rounds;
    assert(rounds >= 1, "it was ready before its first round");
    yield* this.lastRound();
    this.isFileRight(file);
    this.tell("full", began);
    assert(this.mover.progress.movedBytes > 32 * MiB, "there was less to copy than a kernel");
    const none = DirtyPages.of(this.guest.memory.view.bytes.length);
    this.guest.tracking.collect(none);
    assertEquals(none.count, 0, "memory changes while the guest is stopped");
    yield* this.goOn();

    // Later on, what has changed since.
    yield* this.scripted.wait(BETWEEN_MS);
    const again = performance.now();
    this.move({ kind: "file", fd: file, full: false, tracking }, { allowedPauseMs: 500 });
    yield () => this.isReady || this.stalls >= 3;
    yield* this.lastRound();
    this.isFileRight(file);
    this.tell("changes", again);
    yield* this.goOn();
    close(file);
    this.guest.tracking.stop();
  }

  *all(folder: string): Script {
    yield* this.logIn();
    yield* this.startLoad();
    assertEquals(this.guest.devices().net0.backend, "vhost-net");
    const before = this.work();
    yield* this.copies(folder);
    const after = this.work();
    assert(after.every((count, i) => count > before[i]), `${before} and then ${after}`);
    // It still works, and has changed its memory itself.
    assertEquals(yield* this.command("nproc"), "2");
    yield* this.command("test -s /mnt/noise");
  }

  /** Bytes read from its disk and written to it, and frames that it got. */
  work(): number[] {
    const { block0, net0 } = this.guest.devices();
    const { frames } = net0.received as { frames: number };
    return [block0.readBytes as number, block0.writtenBytes as number, frames];
  }

  tell(what: string, since: number): void {
    const seconds = (performance.now() - since) / 1000;
    const { movedBytes, rounds } = this.mover.progress;
    console.log(
      `${what}: ${rounds} rounds, ${(movedBytes / MiB).toFixed(1)} MiB in ${
        seconds.toFixed(1)
      } s, ` +
        `${this.stalls} of them stalled`,
    );
  }
}

Deno.test({
  name: "a stock guest at work is copied while it runs, and the copy is its memory byte for byte",
  // A guest is made for a process of its own, which ends with it.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const system = await quickGuest();
    const folder = await Deno.makeTempDir();
    const disk = `${folder}/disk.raw`;
    await new Deno.Command("cp", { args: ["--sparse=always", system.disk, disk] }).output();
    const ip = (...args: string[]) => new Deno.Command("ip", { args }).output();
    await ip("tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr", "multi_queue");
    await ip("addr", "add", "10.97.0.1/24", "dev", TAP);
    await ip("link", "set", TAP, "up");
    await ip("neigh", "add", "10.97.0.2", "lladdr", "52:54:00:aa:bb:07", "dev", TAP);
    const sender = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--unstable-net", SENDER],
      stdout: "null",
    }).spawn();
    try {
      const busy = new BusyGuest({
        name: "busy",
        kernel: system.kernel,
        initrd: system.initrd,
        cmdline: system.cmdline,
        memoryMiB: 192,
        cpus: 2,
        disks: [{ path: disk }],
        nets: [{ tap: TAP, mac: "52:54:00:aa:bb:07" }],
        balloon: {},
      });
      busy.scripted.run(busy.all(folder), { patienceMs: PATIENCE_MS });
    } finally {
      sender.kill();
      await sender.status;
      await ip("link", "del", TAP);
    }
  },
});
