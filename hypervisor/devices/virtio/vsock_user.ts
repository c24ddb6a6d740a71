/**
 * A socket device's queues served here: each stream of the guest's is a unix socket on the host.
 *
 * Bytes to the guest go from the socket into the guest's buffers, and stay in the socket while the guest
 * has no buffers or its program does not read. Bytes from the guest go to the socket, and what that
 * has no room for is kept, at most BUFFER_BYTES of each of MAX_CONNECTIONS streams. Packets that only
 * tell something are flags of their stream, so nothing a guest sends makes a queue grow.
 *
 * @module
 */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { signal } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { sendAt, WAIT } from "../../sys/stream_io.ts";
import { connectUnix, send, shutdownSending } from "../../sys/unix_sockets.ts";
import { gather } from "./chain_bytes.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import { type QueueSetup, type QueueState, VirtQueue } from "./queue.ts";
import { SocketSet } from "./socket_set.ts";
import { VsockClients } from "./vsock_clients.ts";
import { BOTH, PENDING, VsockConnection } from "./vsock_connection.ts";
import {
  HOST_CID,
  RX,
  TX,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_SHUTDOWN as SHUTDOWN,
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_QUEUE_SIZE,
  type VsockBackend,
  VsockHeader,
} from "./vsock_protocol.ts";
import { VsockTable } from "./vsock_table.ts";
import { VsockToGuest } from "./vsock_to_guest.ts";

/** Packets of the guest's after which others have their turn. */
const BATCH = 64;
const HEADER = VsockHeader.size;

export interface UserVsockOptions {
  cid: number;
  /** Listens for programs of the host. */
  listener: number;
  /** Its path: programs of the guest reach who listens at this with "_" and the port behind it. */
  path: string;
  queues: readonly QueueSetup[];
  features: ReadonlySet<number>;
}

export class UserVsock implements VsockBackend {
  readonly #host: DeviceHost;
  readonly #cid: number;
  readonly #path: string;
  readonly #tx: VirtQueue;
  /** Sockets with something for the guest: not listened to while it has no buffers. */
  readonly #inputs: SocketSet;
  /** Sockets that are to take something, the listener, and clients that introduce themselves. */
  readonly #others: SocketSet;
  readonly #clients: VsockClients;
  readonly #table: VsockTable;
  readonly #toGuest: VsockToGuest;
  readonly #in = VsockHeader.create({});
  /** The guest's packets wait until it has been told of resets. */
  #held = false;
  #stopped = false;
  #counts = { opened: 0, refused: 0, malformed: 0, bytesToGuest: 0, bytesFromGuest: 0 };

  constructor(host: DeviceHost, options: UserVsockOptions) {
    const { features } = options;
    const queue = (setup: QueueSetup) =>
      new VirtQueue(host.memory, setup, {
        maxSize: VSOCK_QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => host.needsReset(reason),
      });
    this.#host = host;
    this.#cid = options.cid;
    this.#path = options.path;
    this.#toGuest = new VsockToGuest(host, {
      queue: queue(options.queues[RX]),
      cid: options.cid,
      starved: () => this.#inputs.listen(false),
    });
    this.#tx = queue(options.queues[TX]);
    const turned = () => this.#tell();
    this.#inputs = new SocketSet(host, { turned });
    this.#others = new SocketSet(host, { turned });
    this.#table = new VsockTable((connection) => this.#reset(connection));
    this.#clients = new VsockClients(this.#others, {
      listener: options.listener,
      decided: (fd, port) => this.#request(fd, port),
    });
  }

  notify(index: number): void {
    if (this.#stopped) return;
    if (index === TX) this.#transmit();
    else if (index === RX) {
      this.#inputs.listen(true);
      this.#tell();
    }
  }

  report(): Record<string, unknown> {
    return { cid: this.#cid, connections: this.#table.size, ...this.#counts };
  }

  /** Sockets are not looked at meanwhile; streams stay. */
  freeze(): QueueState[] {
    return [this.#toGuest.state, this.#tx.state];
  }

  stop(): void {
    this.#stopped = true;
    this.#toGuest.stop();
    this.#clients.stop();
    for (const { fd } of this.#table.all()) if (fd >= 0) close(fd);
    this.#inputs.close();
    this.#others.close();
  }

  // From the guest.

  #transmit(): void {
    const queue = this.#tx;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      for (;;) {
        this.#held = this.#toGuest.resets.full;
        if (this.#held || budget === 0) break;
        const head = queue.pop();
        if (head < 0) break;
        this.#packet(gather(queue, this.#host.memory, this.#in.$bytes));
        if (this.#stopped) return;
        queue.push(head, 0);
        budget--;
      }
    } while (!this.#held && budget > 0 && queue.enableNotifications());
    if (this.#stopped) return;
    if (budget === 0) signal(this.#host.queueNotifyFd(TX));
    if (queue.publish()) this.#host.interruptQueue(TX);
    this.#tell();
  }

  /** Carries out the packet whose header is `#in` and whose payload is in the chain behind it. */
  #packet(length: number): void {
    const { src_cid, src_cid_high, dst_cid, dst_cid_high, src_port, dst_port, type, op } = this.#in;
    if (length < HEADER || src_cid !== this.#cid || src_cid_high !== 0) {
      this.#counts.malformed++;
      return;
    }
    const toHost = dst_cid === HOST_CID && dst_cid_high === 0 && type === VIRTIO_VSOCK_TYPE_STREAM;
    const connection = toHost ? this.#table.get(dst_port, src_port) : undefined;
    if (connection === undefined || !connection.known) {
      if (op === OP.REQUEST && toHost && connection === undefined) this.#accept(dst_port, src_port);
      // Section 5.10.6.4.1: there is no such stream; a reset of none is answered by nothing.
      else if (op !== OP.RST) this.#toGuest.resets.add(this.#in);
      return;
    }
    connection.guestAlloc = this.#in.buf_alloc;
    connection.guestTaken = this.#in.fwd_cnt;
    switch (op) {
      case OP.RESPONSE:
        return this.#accepted(connection);
      case OP.RST:
        return this.#drop(connection);
      case OP.SHUTDOWN:
        connection.guestEnded |= this.#in.flags & BOTH;
        return this.#settle(connection);
      case OP.RW:
        return this.#forward(connection);
      case OP.CREDIT_UPDATE:
        return this.#watch(connection);
      case OP.CREDIT_REQUEST:
        this.#toGuest.pend(connection, PENDING.CREDIT);
        return this.#watch(connection);
    }
    this.#reset(connection);
  }

  /** A program of the guest wants to reach one of the host. */
  #accept(hostPort: number, guestPort: number): void {
    let fd: number;
    try {
      if (!this.#table.hasRoom()) throw new Error("There are too many streams");
      fd = connectUnix(`${this.#path}_${hostPort}`);
    } catch {
      // Nobody listens there, or cannot be reached now: the guest sees its connection refused.
      this.#counts.refused++;
      this.#toGuest.resets.add(this.#in);
      return;
    }
    const connection = new VsockConnection(fd, { host: hostPort, guest: guestPort });
    connection.guestAlloc = this.#in.buf_alloc;
    connection.guestTaken = this.#in.fwd_cnt;
    connection.open = connection.known = true;
    this.#table.add(connection);
    this.#counts.opened++;
    this.#toGuest.pend(connection, PENDING.RESPONSE);
    this.#watch(connection);
  }

  /** The guest accepted what a program of the host asked for. */
  #accepted(connection: VsockConnection): void {
    if (connection.open) return this.#reset(connection);
    connection.open = true;
    this.#counts.opened++;
    const answer = new TextEncoder().encode(`OK ${connection.hostPort}\n`);
    try {
      // A new socket has room for that.
      if (send(connection.fd, answer) !== answer.length) throw new Error("It was cut short");
    } catch {
      return this.#reset(connection);
    }
    this.#watch(connection);
  }

  /** Sends the payload on, or keeps it. */
  #forward(connection: VsockConnection): void {
    const { len } = this.#in;
    const queue = this.#tx;
    const { memory } = this.#host;
    if (
      !connection.open || (connection.guestEnded & SHUTDOWN.SEND) !== 0 ||
      len > queue.readableBytes - HEADER || len > connection.room
    ) {
      this.#counts.malformed++;
      return this.#reset(connection);
    }
    this.#counts.bytesFromGuest += len;
    let skip = HEADER;
    let left = len;
    for (let i = 0; i < queue.readable && left > 0; i++) {
      const from = Math.min(skip, queue.lengths[i]);
      skip -= from;
      let at = queue.offsets[i] + from;
      const end = at + Math.min(queue.lengths[i] - from, left);
      left -= end - at;
      while (at < end && this.#takes(connection) && connection.buffered === 0) {
        const n = sendAt(connection.fd, memory.address + at, end - at);
        if (n === WAIT) break;
        if (n < 0) this.#deaf(connection);
        else {
          at += n;
          connection.take(n);
        }
      }
      if (at === end) continue;
      if (this.#takes(connection)) connection.keep(memory.bytes.subarray(at, end));
      else connection.take(end - at);
    }
    if (connection.owesCredit) this.#toGuest.pend(connection, PENDING.CREDIT);
    this.#watch(connection);
  }

  /** Whether the host's program can still be sent something. */
  #takes(connection: VsockConnection): boolean {
    return connection.fd >= 0 && (connection.hostEnded & SHUTDOWN.RCV) === 0;
  }

  // From the host.

  /** A program of the host wants to reach port `port` of the guest. */
  #request(fd: number, port: number): void {
    if (!this.#table.hasRoom()) return close(fd);
    const connection = new VsockConnection(fd, { host: this.#table.freePort(), guest: port });
    this.#table.add(connection);
    this.#toGuest.pend(connection, PENDING.REQUEST);
    this.#watch(connection);
  }

  /** The host's program has something for the guest, or ends. */
  #receive(connection: VsockConnection, events: number): void {
    // An answer that is due comes before what is behind it.
    this.#toGuest.tell();
    if (connection.credit === 0 || connection.fd < 0 || !this.#toGuest.take()) return;
    const n = this.#toGuest.receive(connection);
    if (n === WAIT) return;
    if (n > 0) {
      connection.sentToGuest = (connection.sentToGuest + n) >>> 0;
      this.#counts.bytesToGuest += n;
      this.#toGuest.send(connection, OP.RW, { len: n });
      if (connection.credit === 0) this.#watch(connection);
      return;
    }
    connection.hostEnded |= SHUTDOWN.SEND;
    if (n < 0 || (events & (EPOLLHUP | EPOLLERR)) !== 0) return this.#gone(connection);
    this.#toGuest.pend(connection, PENDING.SHUTDOWN);
    this.#watch(connection);
  }

  /** The socket can take something again, or the host's program has gone. */
  #ready(connection: VsockConnection, events: number): void {
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0) {
      // While it may have left something that the guest would take, that comes first.
      if (
        !connection.open || (connection.hostEnded & SHUTDOWN.SEND) !== 0 ||
        (connection.guestEnded & SHUTDOWN.RCV) !== 0
      ) {
        return this.#gone(connection);
      }
      this.#deaf(connection);
    } else if (!connection.flush()) this.#deaf(connection);
    if (connection.owesCredit) this.#toGuest.pend(connection, PENDING.CREDIT);
    this.#settle(connection);
  }

  /** The host's program takes nothing any more. */
  #deaf(connection: VsockConnection): void {
    connection.discard();
    connection.hostEnded |= SHUTDOWN.RCV;
    this.#toGuest.pend(connection, PENDING.SHUTDOWN);
  }

  /** The host's program has gone, and all that it left has been sent on. */
  #gone(connection: VsockConnection): void {
    if (!connection.open) return this.#reset(connection);
    connection.discard();
    connection.hostEnded = BOTH;
    this.#close(connection);
    this.#table.linger(connection);
    this.#toGuest.pend(connection, PENDING.SHUTDOWN);
  }

  // The end of a stream.

  /** Carries out what the guest ended, once nothing is left to be sent. */
  #settle(connection: VsockConnection): void {
    if (connection.guestEnded !== 0 && connection.buffered === 0) {
      if (connection.guestEnded === BOTH) return this.#reset(connection);
      if ((connection.guestEnded & SHUTDOWN.SEND) !== 0 && this.#takes(connection)) {
        // Refused where the other side has gone, which is then noticed in other ways.
        try {
          shutdownSending(connection.fd);
        } catch {
          this.#deaf(connection);
        }
      }
    }
    this.#watch(connection);
  }

  /** Ends a stream and tells the guest, unless it never heard of it. */
  #reset(connection: VsockConnection): void {
    if (connection.known) {
      const { hostPort, guestPort } = connection;
      this.#toGuest.resets.addStream({ hostPort, guestPort, cid: this.#cid });
    }
    this.#drop(connection);
  }

  #drop(connection: VsockConnection): void {
    this.#close(connection);
    this.#toGuest.forget(connection);
    this.#table.remove(connection);
  }

  #close(connection: VsockConnection): void {
    const { fd } = connection;
    if (fd < 0) return;
    this.#inputs.remove(fd);
    this.#others.remove(fd);
    connection.fd = -1;
    close(fd);
  }

  /** Waits for what can be gone on with. */
  #watch(connection: VsockConnection): void {
    const { fd, open, hostEnded, guestEnded } = connection;
    if (fd < 0) return;
    const sendsNoMore = (hostEnded & SHUTDOWN.SEND) !== 0;
    const guestTakes = (guestEnded & SHUTDOWN.RCV) === 0;
    const input = open && !sendsNoMore && guestTakes && connection.credit > 0;
    if (input && !this.#inputs.has(fd)) {
      this.#inputs.add(fd, EPOLLIN, (events) => this.#receive(connection, events));
    } else if (!input) this.#inputs.remove(fd);
    const output = connection.buffered > 0;
    // Who only waits is watched for its going: before the guest's answer, and where nothing comes from
    // it any more.
    const other = output || !open || sendsNoMore || !guestTakes;
    if (other && !this.#others.has(fd)) {
      this.#others.add(fd, output ? EPOLLOUT : 0, (events) => this.#ready(connection, events));
    } else if (other) this.#others.change(fd, output ? EPOLLOUT : 0);
    else this.#others.remove(fd);
  }

  #tell(): void {
    const { resets } = this.#toGuest;
    this.#toGuest.tell();
    this.#toGuest.publish();
    if (this.#stopped || !this.#held || resets.full) return;
    this.#held = false;
    signal(this.#host.queueNotifyFd(TX));
  }
}
