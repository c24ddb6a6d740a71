/**
 * One port of a console device and the unix socket that it is on the host: bytes go between guest memory
 * and whoever is connected, one client at a time, and nothing is kept here.
 *
 * Who does not take its bytes holds up its own port alone. A guest's chain that the client's socket
 * has no room for is held, with those behind it left in the queue; a client's bytes that the guest
 * has no buffer for stay in the socket. Without a client, what the guest writes is thrown away.
 *
 * @module
 */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { signal } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { receiveAt, sendAt, WAIT } from "../../sys/stream_io.ts";
import { accept } from "../../sys/unix_sockets.ts";
import type { DeviceHost } from "./device.ts";
import type { VirtQueue } from "./queue.ts";
import type { SocketSet } from "./socket_set.ts";

/** Chains, and bytes, after which others have their turn. */
const BATCH = 64;
const BATCH_BYTES = 1 << 20;

export interface ConsolePortOptions {
  host: DeviceHost;
  sockets: SocketSet;
  /** Listens for clients. */
  listener: number;
  rx: VirtQueue;
  tx: VirtQueue;
  /** A client came or went. */
  changed: () => void;
}

export class ConsolePort {
  /** Counts clients, so that one who goes as another comes is noticed. */
  clients = 0;
  bytesToGuest = 0;
  bytesFromGuest = 0;
  /** Bytes that the guest wrote while nobody was connected. */
  bytesDropped = 0;

  readonly #host: DeviceHost;
  readonly #sockets: SocketSet;
  readonly #listener: number;
  readonly #rx: VirtQueue;
  readonly #tx: VirtQueue;
  readonly #changed: () => void;

  #guestOpen = false;
  #client = -1;
  /** The client sends no more; it may still read. */
  #ended = false;
  /** The client has gone; what it left behind is in its socket until another one comes. */
  #gone = false;
  /** The guest has no buffer for what the client sends. */
  #starved = false;
  #rxHead = -1;
  #txHead = -1;
  #txSegment = 0;
  #txWithin = 0;
  /** How much may still be sent in this turn. */
  #allowance = 0;
  #stopped = false;

  constructor(options: ConsolePortOptions) {
    this.#host = options.host;
    this.#sockets = options.sockets;
    this.#listener = options.listener;
    this.#rx = options.rx;
    this.#tx = options.tx;
    this.#changed = options.changed;
    this.#update();
  }

  /** Chains that were taken off each queue and are here. */
  get held(): { rx: number; tx: number } {
    return { rx: this.#rxHead >= 0 ? 1 : 0, tx: this.#txHead >= 0 ? 1 : 0 };
  }

  get connected(): boolean {
    return this.#client >= 0;
  }

  get guestOpen(): boolean {
    return this.#guestOpen;
  }

  /** The guest opened or closed its end: what a client sends waits for that. */
  set guestOpen(open: boolean) {
    this.#guestOpen = open;
    this.#receive();
  }

  /** The guest offers buffers. */
  notifyReceive(): void {
    this.#starved = false;
    this.#receive();
  }

  /** The guest wrote. */
  notifyTransmit(): void {
    const queue = this.#tx;
    if (this.#stopped || queue.broken) return;
    queue.disableNotifications();
    let chains = BATCH;
    this.#allowance = BATCH_BYTES;
    do {
      while (this.#hold()) {
        // What is left of it goes when the socket has room. Those behind it wait in the queue, and
        // the guest need not tell of more.
        if (!this.#send()) return this.#published(queue);
        queue.push(this.#txHead, 0);
        this.#txHead = -1;
        if (--chains === 0) {
          signal(this.#host.queueNotifyFd(queue.rings.index));
          return this.#published(queue);
        }
      }
    } while (queue.enableNotifications());
    this.#published(queue);
  }

  stop(): void {
    this.#stopped = true;
    this.#sockets.remove(this.#listener);
    if (this.#client >= 0) this.#close();
  }

  #hold(): boolean {
    if (this.#txHead < 0) {
      this.#txHead = this.#tx.pop();
      this.#txSegment = this.#txWithin = 0;
    }
    return this.#txHead >= 0;
  }

  /** Sends the held chain from where it stands; false if some of it has to wait. */
  #send(): boolean {
    const { offsets, lengths, readable } = this.#tx;
    const base = this.#host.memory.address;
    while (this.#txSegment < readable) {
      const left = lengths[this.#txSegment] - this.#txWithin;
      if (this.#client < 0 || this.#gone) {
        this.bytesDropped += left;
      } else {
        if (this.#allowance <= 0) return false;
        const at = base + offsets[this.#txSegment] + this.#txWithin;
        const n = sendAt(this.#client, at, left);
        if (n === WAIT) return false;
        if (n < 0) {
          // Nobody reads any more: the rest is dropped.
          this.#leave();
          if (this.#stopped) return false;
          continue;
        }
        this.bytesFromGuest += n;
        this.#allowance -= n;
        this.#txWithin += n;
        if (n < left) continue;
      }
      this.#txSegment++;
      this.#txWithin = 0;
    }
    return true;
  }

  #receive(): void {
    const queue = this.#rx;
    if (this.#stopped || queue.broken) return;
    let budget = BATCH;
    while (this.#client >= 0 && !this.#ended && this.#guestOpen) {
      if (!this.#take()) break;
      if (budget-- === 0) {
        // A client that has gone is not waited for any more, so nothing else would bring us back.
        if (this.#gone) signal(this.#host.queueNotifyFd(queue.rings.index));
        break;
      }
      const n = this.#fill();
      if (n === WAIT) break;
      if (n > 0) {
        queue.push(this.#rxHead, n);
        this.#rxHead = -1;
        this.bytesToGuest += n;
      } else if (n === 0 && !this.#gone) this.#ended = true;
      else this.#disconnect();
    }
    this.#published(queue);
  }

  #published(queue: VirtQueue): void {
    // After a violation, the host may have stopped this port already.
    if (queue.broken || this.#stopped) return;
    if (queue.publish()) this.#host.interruptQueue(queue.rings.index);
    this.#update();
  }

  /** Has a buffer of the guest's in hand; false if it offers none. */
  #take(): boolean {
    const queue = this.#rx;
    if (this.#rxHead >= 0) return true;
    queue.disableNotifications();
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        if (queue.writableBytes > 0) {
          this.#rxHead = head;
          return true;
        }
        queue.push(head, 0);
      }
    } while (queue.enableNotifications());
    this.#starved = true;
    return false;
  }

  /** Receives into the buffer in hand: bytes, 0 at the end, or a negative errno. */
  #fill(): number {
    const { offsets, lengths, readable, writable } = this.#rx;
    const base = this.#host.memory.address;
    let filled = 0;
    for (let i = readable; i < readable + writable; i++) {
      const n = receiveAt(this.#client, base + offsets[i], lengths[i]);
      if (n <= 0) return filled > 0 ? filled : n;
      filled += n;
      if (n < lengths[i]) break;
    }
    return filled;
  }

  #accept(): void {
    let client: number;
    try {
      client = accept(this.#listener);
    } catch {
      // It has gone again, or there are no descriptors; whoever still waits is seen in the next turn.
      return;
    }
    if (client < 0) return;
    if (this.#client >= 0) this.#close();
    this.#client = client;
    this.#ended = this.#gone = this.#starved = false;
    this.clients++;
    this.#sockets.add(client, 0, (events) => this.#clientReady(events));
    this.#changed();
    this.#receive();
  }

  #clientReady(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.notifyTransmit();
    if (this.#stopped || this.#client < 0) return;
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0) this.#leave();
    this.#receive();
    // What was held for who has gone is not wanted any more.
    if (this.#gone || this.#client < 0) this.notifyTransmit();
  }

  /** The client has gone, though what it sent may not all have been read. */
  #leave(): void {
    if (this.#gone || this.#client < 0) return;
    this.#gone = true;
    this.#sockets.remove(this.#client);
    if (this.#ended) this.#disconnect();
  }

  #disconnect(): void {
    this.#close();
    this.#changed();
  }

  #close(): void {
    if (!this.#gone) this.#sockets.remove(this.#client);
    close(this.#client);
    this.#client = -1;
    this.#gone = false;
  }

  /** Waits for what can be gone on with. */
  #update(): void {
    if (this.#stopped) return;
    if (this.#client >= 0 && !this.#gone) {
      const wantsInput = this.#guestOpen && !this.#starved && !this.#ended;
      const wantsRoom = this.#txHead >= 0;
      this.#sockets.change(
        this.#client,
        (wantsInput ? EPOLLIN : 0) | (wantsRoom ? EPOLLOUT : 0),
      );
    }
    // The next client waits in the listener's backlog until this one has gone.
    const free = this.#client < 0 || this.#gone;
    if (free && !this.#sockets.has(this.#listener)) {
      this.#sockets.add(this.#listener, EPOLLIN, () => this.#accept());
    } else if (!free) this.#sockets.remove(this.#listener);
  }
}
