import { assert, assertEquals } from "@std/assert";
import { close } from "./files.ts";
import { bufferAt, map, memfd } from "./mapping.ts";
import { discard } from "./memory_advice.ts";
import { claimsOf, contradictions } from "./testing/headers.ts";
import {
  Api,
  checkUserFaults,
  Copy,
  Message,
  NEEDED_IOCTLS,
  Range,
  Register,
  UFFD_API,
  UFFD_EVENT_PAGEFAULT,
  UFFD_FEATURE_MISSING_SHMEM,
  UFFDIO,
  UFFDIO_REGISTER_MODE_MISSING,
  USERFAULTFD_IOC_NEW,
  UserFaults,
  ZeroPage,
} from "./userfaultfd.ts";

const PAGE = 4096;

function why(): string | undefined {
  try {
    checkUserFaults();
  } catch (error) {
    return (error as Error).message;
  }
}

const problem = why();
if (problem !== undefined) console.warn(`Tests of missing pages are left out: ${problem}`);

Deno.test("userfaultfd's structs and numbers are those of the kernel's headers", () => {
  const range = { start: "range.start", len: "range.len" };
  const claims = {
    ...claimsOf(Api),
    ...claimsOf(Range),
    ...claimsOf(Register, { renamed: range }),
    ...claimsOf(Copy, { ours: ["copy_high"] }),
    ...claimsOf(ZeroPage, { renamed: range, ours: ["zeropage_high"] }),
    ...claimsOf(Message, {
      renamed: {
        flags: "arg.pagefault.flags",
        address: "arg.pagefault.address",
        ptid: "arg.pagefault.feat.ptid",
      },
    }),
    ...Object.fromEntries(
      Object.entries(UFFDIO).map(([name, value]) => [`(unsigned)UFFDIO_${name}`, value]),
    ),
    ...{ UFFD_API, UFFD_FEATURE_MISSING_SHMEM, UFFDIO_REGISTER_MODE_MISSING, UFFD_EVENT_PAGEFAULT },
    "(unsigned)USERFAULTFD_IOC_NEW": USERFAULTFD_IOC_NEW,
    "1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY | 1 << _UFFDIO_ZEROPAGE": NEEDED_IOCTLS,
    __NR_userfaultfd: 323,
  };
  const includes = ["sys/ioctl.h", "asm/unistd.h", "linux/userfaultfd.h"];
  assertEquals(contradictions(includes, claims), []);
});

/** A thread that reads bytes of memory, and says what they are. */
function reader(): Worker {
  const source = `self.onmessage = ({ data: { address, at } }) => {
    const bytes = new Uint8Array(
      Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(BigInt(address)), 65536));
    self.postMessage(at.map((offset) => bytes[offset]));
  };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return new Worker(url, { type: "module" });
}

Deno.test({
  name: "who touches a missing page waits until it is put there, and other mappings find it too",
  ignore: problem !== undefined,
  async fn() {
    const fd = memfd("pages", 16 * PAGE);
    const [watched, other] = [map(16 * PAGE, { fd }), map(16 * PAGE, { fd })];
    const view = new Uint8Array(bufferAt(other.address, 16 * PAGE));
    // One that is there, and one that was and is no more.
    view[0] = 1;
    view[PAGE] = 2;
    assertEquals(discard(watched.address + PAGE, PAGE, { private: false }), 0);
    const faults = UserFaults.open();
    faults.register(watched.address, 16 * PAGE);
    const worker = reader();
    const answer = new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
    worker.postMessage({ address: watched.address, at: [0, PAGE + 5, 2 * PAGE, 9 * PAGE] });
    const seen: number[] = [];
    const untilSeen = async (count: number) => {
      while (seen.length < count) {
        faults.read((page) => seen.push((page - watched.address) / PAGE));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    await untilSeen(1);
    assertEquals(seen, [1]);
    const page = new Uint8Array(2 * PAGE).fill(7);
    assertEquals(faults.copy(watched.address + PAGE, page), 2 * PAGE);
    assertEquals(view[PAGE + 5], 7);
    // What is there is not written over.
    assertEquals(faults.copy(watched.address, page.subarray(PAGE).fill(8)), 0);
    assertEquals(faults.copy(watched.address + 2 * PAGE, page.subarray(PAGE)), 0);
    assertEquals(faults.zero(watched.address, PAGE), 0);
    await untilSeen(2);
    assertEquals(seen, [1, 9]);
    assertEquals(faults.zero(watched.address + 9 * PAGE, PAGE), PAGE);
    faults.wake(watched.address, 16 * PAGE);
    assertEquals(await answer, [1, 7, 7, 0]);
    faults.unregister(watched.address, 16 * PAGE);
    assertEquals(new Uint8Array(bufferAt(watched.address, 16 * PAGE))[12 * PAGE], 0);
    assert(view.subarray(PAGE, 3 * PAGE).every((byte) => byte === 7));
    worker.terminate();
    faults.close();
    for (const mapping of [watched, other]) mapping.unmap();
    close(fd);
  },
});
