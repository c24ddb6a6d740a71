/**
 * As much of a 64-bit x86's machine code as a guest needs that does nothing but access memory, registers
 * and ports (AMD64 Architecture Programmer's Manual, volume 3).
 *
 * RBX holds addresses, RAX values, R12D counts; RDI is left to whoever collects what was read.
 *
 * @module
 */

/** Bytes of an access. */
export type Size = 1 | 2 | 4 | 8;

export class MachineCode {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }

  /** Appends instructions as they are. */
  raw(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }

  #immediate(value: number | bigint, size: number): void {
    let rest = BigInt.asUintN(8 * size, BigInt(value));
    for (let i = 0; i < size; i++, rest >>= 8n) this.#bytes.push(Number(rest & 0xFFn));
  }

  /** mov rbx, address */
  address(address: number | bigint): void {
    if (address < 2 ** 32) this.raw(0xBB);
    else this.raw(0x48, 0xBB);
    this.#immediate(address, address < 2 ** 32 ? 4 : 8);
  }

  /** mov rbx, [at]; add rbx, offset: what an address below 2 GiB points to. */
  pointer(at: number, offset: number): void {
    this.raw(0x48, 0x8B, 0x1C, 0x25);
    this.#immediate(at, 4);
    this.raw(0x48, 0x81, 0xC3);
    this.#immediate(offset, 4);
  }

  /** mov rax, value */
  value(value: number | bigint): void {
    const wide = value < 0 || value >= 2 ** 32;
    this.raw(...(wide ? [0x48, 0xB8] : [0xB8]));
    this.#immediate(value, wide ? 8 : 4);
  }

  /** mov [rbx], rax, or as much of it. */
  store(size: Size): void {
    this.raw(
      ...{ 1: [0x88, 0x03], 2: [0x66, 0x89, 0x03], 4: [0x89, 0x03], 8: [0x48, 0x89, 0x03] }[size],
    );
  }

  /** mov rax, [rbx], or as much of it with zeros above. */
  load(size: Size): void {
    this.raw(
      ...{
        1: [0x0F, 0xB6, 0x03],
        2: [0x0F, 0xB7, 0x03],
        4: [0x8B, 0x03],
        8: [0x48, 0x8B, 0x03],
      }[size],
    );
  }

  /** mov dx, port */
  port(port: number): void {
    this.raw(0x66, 0xBA);
    this.#immediate(port, 2);
  }

  /** out dx, as much of eax */
  out(size: 1 | 2 | 4): void {
    this.raw(...{ 1: [0xEE], 2: [0x66, 0xEF], 4: [0xEF] }[size]);
  }

  /** xor eax, eax; in as much of eax, dx */
  in(size: 1 | 2 | 4): void {
    this.raw(0x31, 0xC0, ...{ 1: [0xEC], 2: [0x66, 0xED], 4: [0xED] }[size]);
  }

  /** and eax, mask */
  and(mask: number): void {
    this.raw(0x25);
    this.#immediate(mask, 4);
  }

  /** Does `body` over and over until eax, which it leaves, is `wanted`. */
  until(wanted: number, body: () => void): void {
    const start = this.length;
    this.raw(0xF3, 0x90); // pause
    body();
    this.raw(0x3D); // cmp eax, wanted
    this.#immediate(wanted, 4);
    this.#jumpBack(0x85, start);
  }

  /** Does `body` `count` times; they cannot be nested. */
  repeat(count: number, body: () => void): void {
    this.raw(0x41, 0xBC); // mov r12d, count
    this.#immediate(count, 4);
    const start = this.length;
    body();
    this.raw(0x41, 0xFF, 0xCC); // dec r12d
    this.#jumpBack(0x85, start);
  }

  /** jcc to an instruction before this one. */
  #jumpBack(condition: number, to: number): void {
    this.raw(0x0F, condition);
    this.#immediate(to - (this.length + 4), 4);
  }

  /** Fills `[address, address + 4 * count)` with a word; RDI is kept. */
  fill(address: number, options: { count: number; word: number }): void {
    this.raw(0x57, 0xBF); // push rdi; mov edi, address
    this.#immediate(address, 4);
    this.raw(0xB9); // mov ecx, count
    this.#immediate(options.count, 4);
    this.value(options.word);
    this.raw(0xF3, 0xAB, 0x5F); // rep stosd; pop rdi
  }

  /** Fills a page table at `table` with 512 entries that begin with `first` and are `step` apart. */
  pageTable(table: number, options: { first: number | bigint; step: number }): void {
    this.address(table);
    this.raw(0x48, 0xB8); // mov rax, first
    this.#immediate(options.first, 8);
    this.repeat(512, () => {
      this.store(8);
      this.raw(0x48, 0x83, 0xC3, 8, 0x48, 0x05); // add rbx, 8; add rax, step
      this.#immediate(options.step, 4);
    });
  }

  /**
   * Leaves in rbx the address of the `nth` of the words from `first` on, `step` apart, that is `wanted`;
   * beyond `end` there is none.
   */
  search(options: { first: number; step: number; end: number; wanted: number; nth: number }): void {
    this.address(options.first - options.step);
    this.raw(0x41, 0xBD); // mov r13d, nth + 1
    this.#immediate(options.nth + 1, 4);
    const start = this.length;
    this.raw(0x48, 0x81, 0xC3); // add rbx, step
    this.#immediate(options.step, 4);
    this.raw(0xB8); // mov eax, end; cmp rbx, rax; jae over what follows
    this.#immediate(options.end, 4);
    this.raw(0x48, 0x39, 0xC3, 0x73, 2 + 5 + 6 + 3 + 6);
    this.load(4);
    this.raw(0x3D); // cmp eax, wanted
    this.#immediate(options.wanted, 4);
    this.#jumpBack(0x85, start);
    this.raw(0x41, 0xFF, 0xCD); // dec r13d
    this.#jumpBack(0x85, start);
  }

  /** Sends `count` bytes from `address` to a port at once. */
  send(address: number, count: number, port: number): void {
    this.raw(0xBE); // mov esi, address
    this.#immediate(address, 4);
    this.raw(0xB9); // mov ecx, count
    this.#immediate(count, 4);
    this.port(port);
    this.raw(0xF3, 0x6E); // rep outsb
  }
}
