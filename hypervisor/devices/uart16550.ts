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
  ier: "u8",
  lcr: "u8",
  mcr: "u8",
  scr: "u8",
  fcr: "u8",
  dll: "u8",
  dlm: "u8",
  /** The transmitter became empty and nobody has been told yet. */
  thre: "u8",
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
/** 8.7 Modem Control Register: loopback */
const MCR_LOOP = 0x10;
/** 8.4 Line Status Register */
const LSR_DATA_READY = 0x01;
const LSR_THRE = 0x20;
const LSR_TEMT = 0x40;
/** 8.8 Modem Status Register: carrier, data set ready, clear to send */
const MSR_CONNECTED = 0xB0;

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

  get #rxCount(): number {
    return (Atomics.load(this.#s.rx_head, 0) - Atomics.load(this.#s.rx_tail, 0)) >>> 0;
  }

  get #txCount(): number {
    return (Atomics.load(this.#s.tx_head, 0) - Atomics.load(this.#s.tx_tail, 0)) >>> 0;
  }

  get #dlab(): boolean {
    return (this.#s.lcr & LCR_DLAB) !== 0;
  }

  read(offset: number, _size: number): number {
    const s = this.#s;
    switch (offset) {
      case RBR_THR_DLL:
        return this.#dlab ? s.dll : this.#takeByte();
      case IER_DLM:
        return this.#dlab ? s.dlm : s.ier;
      case IIR_FCR: {
        const cause = this.#cause();
        // Reading the cause "transmitter empty" clears it (8.5).
        if (cause === IIR_THRI) s.thre = 0;
        return cause | ((s.fcr & FCR_ENABLE) !== 0 ? IIR_FIFO_ENABLED : 0);
      }
      case LCR:
        return s.lcr;
      case MCR:
        return s.mcr;
      case LSR: {
        // A host that does not read makes the guest wait, as a cable would.
        const room = this.#txCount < TX_BYTES ? LSR_THRE | LSR_TEMT : 0;
        return room | (this.#rxCount > 0 ? LSR_DATA_READY : 0);
      }
      case MSR:
        return MSR_CONNECTED;
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
        s.fcr = value;
        break;
      case LCR:
        s.lcr = value;
        break;
      case MCR:
        s.mcr = value & 0x1F;
        break;
      case SCR:
        s.scr = value;
        break;
    }
  }

  /** The most urgent of the enabled causes (8.5, table IV). */
  #cause(): number {
    const s = this.#s;
    if ((s.ier & IER_RDI) !== 0 && this.#rxCount > 0) return IIR_RDI;
    if ((s.ier & IER_THRI) !== 0 && s.thre === 1) return IIR_THRI;
    return IIR_NONE;
  }

  #enable(ier: number): void {
    const rising = ier & ~this.#s.ier;
    this.#s.ier = ier;
    if ((rising & IER_THRI) !== 0) this.#s.thre = 1;
    if (this.#cause() !== IIR_NONE) this.#interrupt();
  }

  #takeByte(): number {
    const s = this.#s;
    if (this.#rxCount === 0) return 0;
    const tail = Atomics.load(s.rx_tail, 0);
    const byte = s.rx[tail % RX_BYTES];
    Atomics.store(s.rx_tail, 0, tail + 1);
    if (this.#rxCount === 0) this.#wakeHost();
    return byte;
  }

  #putByte(byte: number): void {
    const s = this.#s;
    if ((s.mcr & MCR_LOOP) !== 0) {
      this.receive(Uint8Array.of(byte));
      return;
    }
    if (this.#txCount < TX_BYTES) {
      const head = Atomics.load(s.tx_head, 0);
      s.tx[head % TX_BYTES] = byte;
      Atomics.store(s.tx_head, 0, head + 1);
      if (Atomics.compareExchange(s.host_awake, 0, 0, 1) === 0) this.#wakeHost();
    }
    s.thre = 1;
    if ((s.ier & IER_THRI) !== 0) this.#interrupt();
  }

  // The host's side.

  /** Takes what of `bytes` there is room for; how many those were. The guest's reading makes room. */
  receive(bytes: Uint8Array): number {
    const s = this.#s;
    const head = Atomics.load(s.rx_head, 0);
    const n = Math.min(bytes.length, RX_BYTES - this.#rxCount);
    for (let i = 0; i < n; i++) s.rx[(head + i) % RX_BYTES] = bytes[i];
    Atomics.store(s.rx_head, 0, head + n);
    if (n > 0 && (s.ier & IER_RDI) !== 0) this.#interrupt();
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
    if (n === TX_BYTES && (s.ier & IER_THRI) !== 0) this.#interrupt();
    return out;
  }
}
