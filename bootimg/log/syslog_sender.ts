/**
 * Sends the log to another host. The list of records in memory is the queue: whoever is away makes
 * nobody wait, and is told how many records it missed.
 *
 * @module
 */
import type { LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import type { SyslogTarget } from "../../hypervisor/supervisor/api/syslog_target.ts";
import { DatagramSender, socketAddress } from "../../hypervisor/sys/datagrams.ts";
import { makeEntry } from "./entry.ts";
import type { LogBook } from "./log_book.ts";
import { DATAGRAM_BYTES, MESSAGE_BYTES, octetCounted, syslogMessage } from "./syslog.ts";

/** A way to the other host. */
export interface Wire extends Disposable {
  /** How long a message may be. */
  readonly limit: number;
  /** Throws where it is broken. */
  send(message: Uint8Array<ArrayBuffer>): void | Promise<void>;
}

export interface SyslogSenderOptions {
  book: LogBook;
  target: SyslogTarget;
  hostname: () => string;
  /** Told why nothing gets through, and null once it does. */
  onTrouble: (why: string | null) => void;
  /** For tests. */
  open?: (target: SyslogTarget) => Promise<Wire>;
  firstRetryMs?: number;
  stallMs?: number;
}

const BATCH_RECORDS = 50;
/** Between batches: a receiver of datagrams has no way to say that it is too much. */
const BREATH_MS = 20;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;
/** A connection on which nothing moves for this long is given up. */
const STALL_MS = 30_000;
/** After this long a name is looked up once more. */
const WIRE_MS = 10 * 60_000;

/** Sends each record once, from the first that there is. */
export class SyslogSender {
  readonly #options: SyslogSenderOptions;
  #wire: { wire: Wire; until: number } | null = null;
  #sent = 0;
  #isClosed = false;
  #wake = () => {};
  #isInTrouble = false;
  readonly #unlisten: () => void;

  constructor(options: SyslogSenderOptions) {
    this.#options = options;
    this.#unlisten = options.book.listen(() => this.#wake());
    void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    this.#unlisten();
    this.#hangUp();
    this.#wake();
  }

  async #run(): Promise<void> {
    const { book, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    let retryMs = firstRetryMs;
    while (!this.#isClosed) {
      if (book.last <= this.#sent) {
        await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      try {
        await this.#sendSome();
        retryMs = firstRetryMs;
        this.#tell(null);
        await sleep(BREATH_MS);
      } catch (error) {
        this.#hangUp();
        if (this.#isClosed) return;
        this.#tell(error instanceof Error ? error.message : String(error));
        await sleep(retryMs);
        retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
      }
    }
  }

  async #sendSome(): Promise<void> {
    const wire = await this.#connected();
    const { records, missed } = this.#options.book.since(this.#sent, BATCH_RECORDS);
    if (missed > 0) {
      const message = `${missed} records were lost before they could be sent`;
      const entry = makeEntry({ level: "warning", room: "boot", message });
      await this.#send(wire, { seq: 0, ...entry });
      this.#sent += missed;
    }
    for (const record of records) {
      await this.#send(wire, record);
      this.#sent = record.seq;
    }
  }

  async #connected(): Promise<Wire> {
    const { open = openWire, target } = this.#options;
    if (this.#wire !== null && this.#wire.until < performance.now()) this.#hangUp();
    if (this.#wire === null) {
      const wire = await open(target);
      if (this.#isClosed) {
        wire[Symbol.dispose]();
        throw new Error("Cannot send the log any more");
      }
      this.#wire = { wire, until: performance.now() + WIRE_MS };
    }
    return this.#wire.wire;
  }

  async #send(wire: Wire, record: LogRecord): Promise<void> {
    const message = syslogMessage(record, {
      hostname: this.#options.hostname(),
      limit: wire.limit,
    });
    const { promise: stalled, reject } = Promise.withResolvers<never>();
    const { stallMs = STALL_MS } = this.#options;
    const timer = setTimeout(() => reject(new Error("it takes nothing any more")), stallMs);
    try {
      await Promise.race([wire.send(message), stalled]);
    } finally {
      clearTimeout(timer);
    }
  }

  #hangUp(): void {
    this.#wire?.wire[Symbol.dispose]();
    this.#wire = null;
  }

  #tell(why: string | null): void {
    if (this.#isInTrouble === (why !== null)) return;
    this.#isInTrouble = why !== null;
    this.#options.onTrouble(why);
  }
}

/** Connects to where a target is now. */
export async function openWire(target: SyslogTarget): Promise<Wire> {
  return target.protocol === "tcp" ? await openStream(target) : await openDatagrams(target);
}

async function openDatagrams({ host, port }: SyslogTarget): Promise<Wire> {
  const sender = new DatagramSender(await resolve(host), port);
  return {
    limit: DATAGRAM_BYTES,
    async send(message) {
      if (sender.send(message)) return;
      await sleep(BREATH_MS);
      sender.send(message);
    },
    [Symbol.dispose]: () => sender[Symbol.dispose](),
  };
}

async function openStream({ host, port }: SyslogTarget): Promise<Wire> {
  const connection = await Deno.connect({ hostname: host, port });
  let isGone = false;
  // Receivers say nothing: what comes is the end.
  (async () => {
    const bytes = new Uint8Array(64);
    while (await connection.read(bytes) !== null);
  })().catch(() => {}).finally(() => isGone = true);
  return {
    limit: MESSAGE_BYTES,
    async send(message) {
      let frame = octetCounted(message);
      while (frame.length > 0) {
        if (isGone) throw new Error("it has hung up");
        frame = frame.subarray(await connection.write(frame));
      }
    },
    [Symbol.dispose]() {
      try {
        connection.close();
      } catch {
        // It is closed.
      }
    },
  };
}

/** A name's address, that of the older protocol first. */
async function resolve(host: string): Promise<string> {
  if (socketAddress(host, 0) !== null) return host;
  let why: unknown;
  for (const type of ["A", "AAAA"] as const) {
    try {
      const [address] = await Deno.resolveDns(host, type);
      if (address !== undefined) return address;
    } catch (error) {
      why = error;
    }
  }
  throw new Error(`Cannot find the address of "${host}"`, { cause: why });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
