/**
 * A PC without a guest, a KVM or threads, for the fuzzer to be its guest: real buses, PCI, transports and
 * devices, served by a loop that goes round by hand.
 *
 * @module
 */
import { MAX_QUEUES } from "../../hypervisor/devices/virtio/common_config.ts";
import type { VirtioDevice } from "../../hypervisor/devices/virtio/device.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { VirtioPci } from "../../hypervisor/devices/virtio/pci_transport.ts";
import { TestHost } from "../../hypervisor/devices/virtio/testing/host.ts";
import { MMIO32 } from "../../hypervisor/machine/address_map.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { Bus } from "../../hypervisor/machine/bus.ts";
import { Interrupts } from "../../hypervisor/machine/interrupts.ts";
import type { GuestMemory } from "../../hypervisor/machine/memory.ts";
import { PciRoot } from "../../hypervisor/machine/pci/root.ts";
import { FakeVm } from "../../hypervisor/machine/testing/fake_vm.ts";
import { drain } from "../../hypervisor/sys/eventfd.ts";

/** After so many rounds with something to do in each, something goes round in circles. */
const MAX_ROUNDS = 2000;

export class Card {
  readonly device: VirtioDevice;
  readonly transport: VirtioPci;
  readonly host: CardHost;
  readonly slot: number;
  isActive = false;

  constructor(device: VirtioDevice, transport: VirtioPci, host: CardHost, slot: number) {
    this.device = device;
    this.transport = transport;
    this.host = host;
    this.slot = slot;
  }
}

/** As the VMM does: a device that was violated stops at once, and says so. */
class CardHost extends TestHost {
  violated: () => void = () => {};

  override needsReset(reason: string): void {
    this.failures.push(reason);
    this.violated();
  }
}

export class FuzzMachine implements Disposable {
  readonly memoryBus = new Bus();
  readonly portBus = new Bus();
  readonly vm = new FakeVm();
  readonly cards: Card[] = [];
  readonly #arena: Arena;
  readonly #interrupts: Interrupts;
  readonly #root: PciRoot;
  #isAwake = false;

  /** `watchRoutes` checks at every change what KVM would mind. */
  constructor(
    arena: Arena,
    memory: GuestMemory,
    devices: readonly VirtioDevice[],
    options: { watchRoutes?: boolean } = {},
  ) {
    this.#arena = arena;
    this.#interrupts = new Interrupts(this.#arena, this.vm.vm);
    this.#root = new PciRoot(this.#arena);
    this.vm.watchRoutes = options.watchRoutes ?? false;
    devices.forEach((device, i) => this.#plug(device, memory, i));
    this.#root.attach(this.memoryBus, this.portBus, [MMIO32]);
    this.#interrupts.create([], this.#interrupts.reserved);
    this.#root.powerOn();
    for (const { transport } of this.cards) transport.powerOn();
  }

  #plug(device: VirtioDevice, memory: GuestMemory, i: number): void {
    const queues = device.queueSizes.length;
    if (queues > MAX_QUEUES) throw new RangeError(`Cannot plug in ${device.name}`);
    const host = new CardHost(memory, { queues });
    const transport = new VirtioPci({
      arena: this.#arena,
      vm: this.vm.vm,
      vectors: this.#interrupts.reserve(queues + 1),
      base: MMIO32.start + i * BAR.SIZE,
      device,
      wakeIo: () => this.#isAwake = true,
      notifyFds: Int32Array.from({ length: queues }, (_, queue) => host.queueNotifyFd(queue)),
    });
    const card = new Card(device, transport, host, i + 1);
    host.violated = () => {
      this.#stop(card);
      transport.needsReset();
    };
    this.cards.push(card);
    this.#root.plug(card.slot, transport.function);
  }

  /** What the VMM's loop does until there is nothing to do; false where that never comes. */
  serve(): boolean {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let isBusy = this.#isAwake;
      this.#isAwake = false;
      for (const card of this.cards) {
        const { transport, device, host } = card;
        if (transport.pending === "reset") {
          this.#stop(card);
          transport.resetDone();
        } else if (transport.pending === "activate") {
          this.#start(card);
          transport.activated();
        }
        device.queueSizes.forEach((_, queue) => {
          if (!card.isActive || device.offloaded || !drain(host.queueNotifyFd(queue))) return;
          isBusy = true;
          if (transport.queues()[queue]) device.notify(queue);
        });
        if (host.turn(0) > 0) isBusy = true;
      }
      if (!isBusy) return true;
    }
    return false;
  }

  #start(card: Card): void {
    if (card.isActive) return;
    const { transport, device, host } = card;
    const queues = transport.queues();
    try {
      device.activate(host, { queues, features: transport.features() });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      host.needsReset(error.message);
      return;
    }
    card.isActive = true;
    for (const queue of queues) if (queue && card.isActive) device.notify(queue.index);
  }

  #stop(card: Card): void {
    if (!card.isActive) return;
    card.isActive = false;
    card.device.reset();
  }

  [Symbol.dispose](): void {
    for (const card of this.cards) {
      this.#stop(card);
      card.host[Symbol.dispose]();
    }
    this.#interrupts.close(0, this.#interrupts.reserved);
  }
}
