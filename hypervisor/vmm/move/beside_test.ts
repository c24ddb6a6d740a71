import { assert, assertEquals } from "@std/assert";
import { GuestMemory } from "../../machine/memory.ts";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { type MemorySpec, openRam, openSavedRam } from "../../machine/ram.ts";
import { close, O_RDONLY, open } from "../../sys/files.ts";
import { Mapping } from "../../sys/mapping.ts";
import { duplicate } from "../../sys/passed_descriptors.ts";
import { RamImage } from "./ram_image.ts";
import { receiveRam } from "./stream_receiver.ts";
import { StreamSink } from "./stream_sink.ts";
import { PAGE, TestFile } from "./testing/memory.ts";

const MiB = 2 ** 20;
const LENGTH = 16 * MiB;
const log = () => {};
const options = { wakeFd: -1, checkCancelled: () => {} };

const view = ({ address, copied }: MemorySpec) => new GuestMemory(address, LENGTH, { copied });

Deno.test("of a private copy, only what is not in its file is sent, also what was given back", () => {
  const base = openRam({ length: LENGTH }, log);
  view(base).bytes.fill(7, 0, 12 * MiB);
  const copy = () => openSavedRam(duplicate(base.fd!), { length: LENGTH }, log);
  const [spec, other] = [copy(), copy()];
  const memory = view(spec);
  memory.bytes.fill(1, 5 * PAGE, 6 * PAGE);
  // Behind what the file has.
  memory.bytes.fill(2, 13 * MiB, 13 * MiB + PAGE);
  // A page of zeros, and whole pieces, of which one is then used again.
  memory.bytes.fill(0, 9 * PAGE, 10 * PAGE);
  assert(memory.discard(4 * MiB, 4 * MiB));
  memory.bytes.fill(3, 5 * MiB, 5 * MiB + PAGE);

  const image = new RamImage(spec, { beside: true });
  using file = new TestFile();
  const { address, areas } = image;
  const sink = new StreamSink({ fd: file.fd, address, areas, ...options });
  sink.round(0, 0);
  const pages = DirtyPages.of(LENGTH);
  image.present(pages);
  for (const runs = pages.runs(); runs.next();) {
    image.pieces({ offset: runs.offset, length: runs.length }, sink, sink.mostBytes);
  }
  sink.end();
  sink.close();
  assertEquals(sink.sentBytes, 3 * PAGE);

  const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
  receiveRam({ fd, memory: other, ...options });
  close(fd);
  assertEquals(view(other).bytes, memory.bytes);
  image.close();
  for (const { address, fd } of [base, spec, other]) {
    new Mapping(address, LENGTH).unmap();
    close(fd!);
  }
});
