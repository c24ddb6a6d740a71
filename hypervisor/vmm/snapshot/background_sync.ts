/**
 * Files brought to the disk while the loop goes on: a guest's I/O must not wait for a snapshot's.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { IoUring } from "../../sys/io_uring.ts";
import { sync } from "../../sys/positioned_io.ts";
import type { EventLoop } from "../event_loop.ts";

/** Calls `done`, with what went wrong, once all of these descriptors' files are on the disk. */
export function syncInBackground(
  fds: readonly number[],
  options: { loop: EventLoop; done: (error?: Error) => void },
): void {
  const { loop, done } = options;
  let ring: IoUring;
  try {
    ring = new IoUring({ files: fds, depth: fds.length });
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    // Without io_uring, it waits.
    return done(syncNow(fds));
  }
  let left = fds.length;
  let error: Error | undefined;
  const reap = () => {
    ring.reap((_, result) => {
      left--;
      if (result < 0) error = new SysError("bring a snapshot to the disk", -result);
    });
    if (left > 0) return;
    loop.unwatch(ring.fd);
    ring.close();
    done(error);
  };
  fds.forEach((_, file) => ring.datasync(file, file));
  ring.submit();
  loop.watch(ring.fd, () => {
    ring.submit();
    reap();
  });
  loop.after(0, () => left > 0 && reap());
}

function syncNow(fds: readonly number[]): Error | undefined {
  try {
    fds.forEach(sync);
  } catch (error) {
    return error as Error;
  }
}
