/**
 * The second of two PCs: it starts monitors that wait for a guest, for as long as whoever asked stays
 * connected. Ours has no network, so what it is sent passes through a process at either end, as it does
 * through the supervisors, here without being encrypted; QEMU listens by itself.
 *
 * @module
 */
import { lines } from "../lab_pc/qmp.ts";
import type { CopiedShape } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import type { Monitor } from "./monitors.ts";
import { pass } from "./passing.ts";
import { receive, type Receiving } from "./receiving.ts";
import { ADDRESSES, joinSegment } from "./segment.ts";

const HOST = ADDRESSES.second;
/** Where monitors are asked for, where QEMU listens, and where what passes to ours comes in. */
const PORTS = { asked: 7100, qemu: 7101, passing: 7102 } as const;
/** By then it answers, though its PC has only just come to life. */
const PATIENCE_MS = 120_000;

interface Wish {
  monitor: Monitor;
  shape: CopiedShape;
}

/** Serves the first PC for ever, one monitor at a time. */
export async function serveOtherHost(job: BenchJob): Promise<never> {
  await joinSegment("second");
  const listener = Deno.listen({ hostname: HOST, port: PORTS.asked });
  for (;;) {
    using asked = await listener.accept();
    try {
      await serve(asked, job);
    } catch (error) {
      await say(asked, { error: (error as Error).message }).catch(() => {});
    }
  }
}

async function serve(asked: Deno.Conn, job: BenchJob): Promise<void> {
  const said = lines(asked.readable);
  const { value } = await said.next();
  const { monitor, shape }: Wish = JSON.parse(value!);
  const uri = `tcp:${HOST}:${PORTS.qemu}`;
  await using receiving = await receive(monitor, { shape, job, uri });
  using passing = monitor === "denovisor"
    ? pass({ hostname: HOST, port: PORTS.passing }, { path: receiving.address })
    : undefined;
  await say(asked, { address: passing ? "" : receiving.address });
  // Until nobody needs it any more.
  await said.next();
}

function say(to: Deno.Conn, what: unknown): Promise<number> {
  return to.write(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
}

/** Asks for a monitor on the second PC; resolves when it listens. */
export async function receiveThere(wish: Wish): Promise<Receiving> {
  const connection = await reach();
  try {
    await say(connection, wish);
    const { value } = await lines(connection.readable).next();
    const { address, error } = JSON.parse(value ?? '{"error":"it hung up"}');
    if (error) throw new Error(`Cannot measure over two hosts: ${error}`);
    if (address) {
      return { address, [Symbol.asyncDispose]: () => Promise.resolve(connection.close()) };
    }
    const folder = Deno.makeTempDirSync({ prefix: "passing-" });
    const path = `${folder}/socket`;
    const passing = pass({ path }, { hostname: HOST, port: PORTS.passing });
    return {
      address: path,
      async [Symbol.asyncDispose]() {
        passing[Symbol.dispose]();
        connection.close();
        await Deno.remove(folder, { recursive: true });
      },
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function reach(): Promise<Deno.Conn> {
  for (const deadline = performance.now() + PATIENCE_MS;;) {
    try {
      return await Deno.connect({ hostname: HOST, port: PORTS.asked });
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
