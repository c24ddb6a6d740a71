/**
 * The sockets that one device waits for, behind a single descriptor of its host's loop.
 *
 * @module
 */
import { Epoll, EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import type { DeviceHost } from "./device.ts";

/** Called with what is ready: EPOLLIN and its like. */
export type Ready = (events: number) => void;

interface Member {
  events: number;
  ready: Ready;
}

export class SocketSet {
  readonly #host: DeviceHost;
  readonly #epoll = new Epoll();
  readonly #members = new Map<number, Member>();
  readonly #turned: () => void;
  #watched = false;
  #closed = false;

  /** `turned` is called after all that was ready at once. */
  constructor(host: DeviceHost, options: { turned?: () => void } = {}) {
    this.#host = host;
    this.#turned = options.turned ?? (() => {});
    this.listen(true);
  }

  /** Whether anything is heard of at all: a device that can take nothing more need not be woken. */
  listen(on: boolean): void {
    if (on === this.#watched || this.#closed) return;
    this.#watched = on;
    if (on) this.#host.watch(this.#epoll.fd, () => this.#turn());
    else this.#host.unwatch(this.#epoll.fd);
  }

  /** Waits for `events` of `fd`. That the other side has gone is told also where `events` is 0. */
  add(fd: number, events: number, ready: Ready): void {
    this.#epoll.add(fd);
    this.#members.set(fd, { events: EPOLLIN, ready });
    this.change(fd, events);
  }

  has(fd: number): boolean {
    return this.#members.has(fd);
  }

  change(fd: number, events: number): void {
    const member = this.#members.get(fd);
    if (member === undefined || member.events === events) return;
    member.events = events;
    const options = { read: (events & EPOLLIN) !== 0, write: (events & EPOLLOUT) !== 0 };
    this.#epoll.change(fd, options);
  }

  /** To be called before `fd` is closed; without effect where it does not belong. */
  remove(fd: number): void {
    if (this.#members.delete(fd)) this.#epoll.remove(fd);
  }

  /** Leaves all of them as they are, and waits for none. */
  close(): void {
    this.listen(false);
    this.#closed = true;
    this.#members.clear();
    this.#epoll.close();
  }

  #turn(): void {
    const n = this.#epoll.wait(0);
    for (let i = 0; i < n && !this.#closed; i++) {
      // An earlier one of this batch may have removed it.
      this.#members.get(this.#epoll.ready(i))?.ready(this.#epoll.events(i));
    }
    if (!this.#closed) this.#turned();
  }
}
