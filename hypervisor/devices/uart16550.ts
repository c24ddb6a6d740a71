/**
 * The PC's serial port: a 16550A (National Semiconductor PC16550D data sheet, section 8).
 *
 * Registers are accessed by vCPU workers under the bus lock. The host's side, `receive` and `transmit`,
 * is for one other thread and takes no lock: each ring has one writer and one reader.
 *
 * @module
 */
import { struct } from "../sys/struct.ts";
import type { Arena } from "../machine/arena.ts";
import type { BusDevice } from "../machine/bus.ts";

const RX_BYTES = 4096;
const TX_BYTES = 65536;

const Uart16550V1 = struct("uart16550", {
  lcr: "u8",
  mcr: "u8",
  scr: "u8",
  fcr: "u8",
  dll: "u8",
  dlm: "u8",
  /** In loopback, what was sent and not yet received, and whether there is such a byte. */
  loop_byte: "u8",
  loop_full: "u8",
  /** What both sides look at is changed with Atomics only. */
  ier: ["i32", 1],
  /** 1 where the transmitter became empty and nobody has been told yet. */
  thre: ["i32", 1],
  /** 1 where the guest filled the ring: it is to be told once there is room. */
  tx_stalled: ["i32", 1],
  /** Bytes ever written to and read from each ring; they wrap at 2^32. */
  rx_head: ["u32", 1],
  rx_tail: ["u32", 1],
  tx_head: ["u32", 1],
  tx_tail: ["u32", 1],
  /** 1 while the host looks at the transmitter by itself and need not be woken. */
  host_awake: ["i32", 1],
  rx: ["u8", RX_BYTES],
  tx: ["u8", TX_BYTES],
});

/** Registers: offset, and which of two by DLAB or direction (data sheet, table II). */
const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

/** 8.6 Interrupt Enable Register */
const IER_RDI = 1;
const IER_THRI = 2;
/** 8.5 Interrupt Identification Register */
const IIR_NONE = 1;
const IIR_THRI = 2;
const IIR_RDI = 4;
const IIR_FIFO_ENABLED = 0xC0;
const FCR_ENABLE = 1;
/** 8.3 Line Control Register: divisor latch access */
const LCR_DLAB = 0x80;
/** 8.7 Modem Control Register */
const MCR_DTR = 0x01;
const MCR_RTS = 0x02;
const MCR_OUT1 = 0x04;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
/** 8.4 Line Status Register */
const LSR_DATA_READY = 0x01;
const LSR_THRE = 0x20;
const LSR_TEMT = 0x40;
/** 8.8 Modem Status Register */
const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;
const MSR_CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD;

export class Uart16550 implements BusDevice {
  readonly #s;
  readonly #interrupt: () => void;
  readonly #wakeHost: () => void;

  constructor(
    arena: Arena,
    options: { name: string; interrupt: () => void; wakeHost: () => void },
  ) {
    this.#s = arena.place(options.name, Uart16550V1);
    this.#interrupt = options.interrupt;
    this.#wakeHost = options.wakeHost;
  }

  powerOn(): void {
    this.#s.$bytes.fill(0);
    this.#s.dll = 1;
  }

  /** From saved registers; throws a RangeError where they cannot be a serial port's. */
  restore(): void {
    if (this.#rxCount > RX_BYTES || this.#txCount > TX_BYTES) {
      throw new RangeError(
        "Cannot restore the serial port: its rings hold more than they have room for",
      );
    }
  }

  get #rxCount(): number {
    return (Atomics.load(this.#s.rx_head, 0) - Atomics.load(this.#s.rx_tail, 0)) >>> 0;
  }

  get #txCount(): number {
    return (Atomics.load(this.#s.tx_head, 0) - Atomics.load(this.#s.tx_tail, 0)) >>> 0;
  }

  get #dlab(): boolean {
    return (this.#s.lcr & LCR_DLAB) !== 0;
  }

  get #loop(): boolean {
    return (this.#s.mcr & MCR_LOOP) !== 0;
  }

  /** In loopback the cable is cut off, and what it brings waits. */
  get #hasByte(): boolean {
    return this.#s.loop_full === 1 || (!this.#loop && this.#rxCount > 0);
  }

  #enabled(interrupt: number): boolean {
    return (Atomics.load(this.#s.ier, 0) & interrupt) !== 0;
  }

  read(offset: number, _size: number): number {
    const s = this.#s;
    switch (offset) {
      case RBR_THR_DLL:
        return this.#dlab ? s.dll : this.#takeByte();
      case IER_DLM:
        return this.#dlab ? s.dlm : Atomics.load(s.ier, 0);
      case IIR_FCR: {
        const cause = this.#cause();
        // Reading the cause "transmitter empty" clears it (8.5).
        if (cause === IIR_THRI) Atomics.store(s.thre, 0, 0);
        return cause | ((s.fcr & FCR_ENABLE) !== 0 ? IIR_FIFO_ENABLED : 0);
      }
      case LCR:
        return s.lcr;
      case MCR:
        return s.mcr;
      case LSR: {
        // A host that does not read makes the guest wait, as a cable would.
        const room = this.#txCount < TX_BYTES ? LSR_THRE | LSR_TEMT : 0;
        return room | (this.#hasByte ? LSR_DATA_READY : 0);
      }
      case MSR:
        return this.#loop ? loopedBack(s.mcr) : MSR_CONNECTED;
      case SCR:
        return s.scr;
    }
    return 0xFF;
  }

  write(offset: number, _size: number, value: number): void {
    const s = this.#s;
    value &= 0xFF;
    switch (offset) {
      case RBR_THR_DLL:
        if (this.#dlab) s.dll = value;
        else this.#putByte(value);
        break;
      case IER_DLM:
        if (this.#dlab) s.dlm = value;
        else this.#enable(value & 0xF);
        break;
      case IIR_FCR:
        // Clearing the FIFO drops nothing: what the host has typed is still on the cable.
        s.fcr = value;
        break;
      case LCR:
        s.lcr = value;
        break;
      case MCR:
        s.mcr = value & 0x1F;
        if (this.#cause() !== IIR_NONE) this.#interrupt();
        break;
      case SCR:
        s.scr = value;
        break;
    }
  }

  /** The most urgent of the enabled causes (8.5, table IV). */
  #cause(): number {
    if (this.#enabled(IER_RDI) && this.#hasByte) return IIR_RDI;
    if (this.#enabled(IER_THRI) && Atomics.load(this.#s.thre, 0) === 1) return IIR_THRI;
    return IIR_NONE;
  }

  #enable(ier: number): void {
    const rising = ier & ~Atomics.exchange(this.#s.ier, 0, ier);
    if ((rising & IER_THRI) !== 0 && this.#txCount < TX_BYTES) Atomics.store(this.#s.thre, 0, 1);
    if (this.#cause() !== IIR_NONE) this.#interrupt();
  }

  #takeByte(): number {
    const s = this.#s;
    if (s.loop_full === 1) {
      s.loop_full = 0;
      return s.loop_byte;
    }
    if (!this.#hasByte) return 0;
    const tail = Atomics.load(s.rx_tail, 0);
    const byte = s.rx[tail % RX_BYTES];
    Atomics.store(s.rx_tail, 0, tail + 1);
    if (this.#rxCount === 0) this.#wakeHost();
    return byte;
  }

  #putByte(byte: number): void {
    const s = this.#s;
    if (this.#loop) {
      s.loop_byte = byte;
      s.loop_full = 1;
      if (this.#enabled(IER_RDI)) this.#interrupt();
      return this.#transmitterEmpty();
    }
    if (this.#txCount < TX_BYTES) {
      const head = Atomics.load(s.tx_head, 0);
      s.tx[head % TX_BYTES] = byte;
      Atomics.store(s.tx_head, 0, head + 1);
      if (Atomics.compareExchange(s.host_awake, 0, 0, 1) === 0) this.#wakeHost();
    }
    if (this.#txCount < TX_BYTES) return this.#transmitterEmpty();
    Atomics.store(s.thre, 0, 0);
    // The host may make room right now: then one of the two sees that the other is to be told.
    Atomics.store(s.tx_stalled, 0, 1);
    if (this.#txCount < TX_BYTES) this.#unstall();
  }

  #transmitterEmpty(): void {
    Atomics.store(this.#s.thre, 0, 1);
    if (this.#enabled(IER_THRI)) this.#interrupt();
  }

  #unstall(): void {
    if (Atomics.exchange(this.#s.tx_stalled, 0, 0) === 1) this.#transmitterEmpty();
  }

  // The host's side.

  /** Takes what of `bytes` there is room for; how many those were. The guest's reading makes room. */
  receive(bytes: Uint8Array): number {
    const s = this.#s;
    const head = Atomics.load(s.rx_head, 0);
    const n = Math.min(bytes.length, RX_BYTES - this.#rxCount);
    for (let i = 0; i < n; i++) s.rx[(head + i) % RX_BYTES] = bytes[i];
    Atomics.store(s.rx_head, 0, head + n);
    if (n > 0 && this.#enabled(IER_RDI)) this.#interrupt();
    return n;
  }

  /**
   * By the host, which was woken and now finds nothing: from here on it must be woken again. False if
   * something came meanwhile, and it must go on looking.
   */
  sleep(): boolean {
    Atomics.store(this.#s.host_awake, 0, 0);
    if (this.#txCount === 0) return true;
    // Either we take the job back or the guest has just woken the host.
    return Atomics.compareExchange(this.#s.host_awake, 0, 0, 1) !== 0;
  }

  /** Everything that the guest has sent since, as a copy. */
  transmit(): Uint8Array<ArrayBuffer> {
    const s = this.#s;
    const tail = Atomics.load(s.tx_tail, 0);
    const n = this.#txCount;
    const out = new Uint8Array(n);
    for (let i = 0; i < n; i++) out[i] = s.tx[(tail + i) % TX_BYTES];
    Atomics.store(s.tx_tail, 0, tail + n);
    if (n > 0) this.#unstall();
    return out;
  }
}

/** What the modem's lines show in loopback (8.7): the outputs, tied to the inputs. */
function loopedBack(mcr: number): number {
  return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
    (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}
