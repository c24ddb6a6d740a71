import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { close } from "../../sys/files.ts";
import { duplicate } from "../../sys/passed_descriptors.ts";
import { closeDisk, diskSectors, openDisk, takeDisk } from "./disk.ts";

function withFile(bytes: number, run: (path: string) => void): void {
  const path = Deno.makeTempFileSync();
  try {
    Deno.truncateSync(path, bytes);
    run(path);
  } finally {
    Deno.removeSync(path);
  }
}

const lengths = fc.maxSafeNat();
const sectors = fc.integer({ min: 0, max: 2 ** 44 }).map((n) => n * 512);

Deno.test("a disk's length is a positive multiple of 512", () => {
  fc.assert(fc.property(fc.oneof(lengths, sectors), (bytes) => {
    if (bytes > 0 && bytes % 512 === 0 && bytes <= 2 ** 52) {
      assertEquals(diskSectors("d", bytes) * 512, bytes);
    } else {
      assertThrows(() => diskSectors("d", bytes), RangeError, 'Cannot use disk "d": ');
    }
  }));
});

Deno.test("an empty image, and one that is not whole sectors, are refused", () => {
  withFile(0, (path) => assertThrows(() => openDisk(path), RangeError, "it is empty"));
  withFile(513, (path) => assertThrows(() => openDisk(path), RangeError, "not a multiple of 512"));
});

Deno.test("a disk that is missing, or no disk, is refused", () => {
  assertThrows(() => openDisk("/nonexistent/disk"), Error, "there is no such file");
  assertThrows(() => openDisk("/tmp"), Error, "it is neither a file nor a block device");
  assertThrows(() => openDisk("/dev/null"), Error, "it is neither a file nor a block device");
});

Deno.test("a disk has one writer or many readers", () => {
  withFile(1024, (path) => {
    const writer = openDisk(path);
    assertEquals(writer.sectors, 2);
    assertThrows(() => openDisk(path), Error, "another guest uses it");
    assertThrows(() => openDisk(path, { readonly: true }), Error, "another guest uses it");
    close(writer.fd);
    const readers = [openDisk(path, { readonly: true }), openDisk(path, { readonly: true })];
    assertThrows(() => openDisk(path), Error, "another guest uses it");
    for (const { fd } of readers) close(fd);
    close(openDisk(path).fd);
  });
});

Deno.test("a disk that another has can be opened, left as it is, and taken over once the other lets go", () => {
  withFile(1024, (path) => {
    const content = new Uint8Array(1024).fill(7);
    Deno.writeFileSync(path, content);
    const other = openDisk(path);
    const disk = openDisk(path, { unlocked: true });
    assertEquals(disk.discard, other.discard);
    assertThrows(() => takeDisk(disk), Error, "another guest uses it");
    assertEquals(Deno.readFileSync(path), content);
    closeDisk(other);
    takeDisk({ ...disk, blockDevice: true });
    assertThrows(() => openDisk(path), Error, "another guest uses it");
    assertEquals(Deno.readFileSync(path), content);
    closeDisk(disk);
  });
});

Deno.test("a disk that was handed over is the same open file, and locked for both", () => {
  withFile(1024, (path) => {
    const giver = openDisk(path);
    const held = [duplicate(giver.fd)];
    const taker = openDisk("/its/name/is/another", { held });
    assertEquals([taker.fd, taker.sectors, taker.discard], [held[0], 2, giver.discard]);
    takeDisk(taker);
    close(giver.fd);
    assertThrows(() => openDisk(path), Error, "another guest uses it");
    close(taker.fd);
    close(openDisk(path).fd);
  });
});

function isOpenAt(fd: Deno.DirEntry, path: string): boolean {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd.name}`) === path;
  } catch {
    return false;
  }
}

Deno.test("a refused disk leaves no descriptor open", () => {
  withFile(512, (path) => {
    // Other tests of this process open and close descriptors of their own.
    const opened = () => [...Deno.readDirSync("/proc/self/fd")].filter((fd) => isOpenAt(fd, path));
    const holder = openDisk(path);
    for (let i = 0; i < 10; i++) assertThrows(() => openDisk(path));
    assertEquals(opened().length, 1);
    close(holder.fd);
  });
});
