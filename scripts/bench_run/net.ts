/**
 * The guest's network card: tap and vhost-net, a guest of each contender, one of which is active at a
 * time.
 *
 * @module
 */
import { run } from "../setup/command.ts";
import { toolsEnvironment } from "../setup/measuring_tools.ts";
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, type Monitor, MONITORS } from "./monitors.ts";
import type { Recorder, RowSpec } from "./recorder.ts";
import { found } from "./tool_output.ts";

const ECHO_PORT = 11111;
const SMALL_BYTES = 64;

interface Load {
  row: RowSpec;
  measure(address: string, job: BenchJob): Promise<number>;
}

const iperf = async (address: string, job: BenchJob, ...more: string[]) => {
  const { stdout } = await run(
    ["iperf3", "-c", address, "-t", `${job.seconds}`, "-J", "--connect-timeout", "10000", ...more],
    { signal: AbortSignal.timeout((job.seconds + 60) * 1000) },
  );
  return JSON.parse(stdout).end;
};

const bandwidth = (name: string, ...more: string[]): Load => ({
  row: { name: `net: ${name}`, unit: "Mbit/s", better: "higher" },
  measure: async (address, job) =>
    (await iperf(address, job, ...more)).sum_received.bits_per_second / 1e6,
});

/** At which rates small packets are sent, in bit/s: the first, and each twice the one before. */
const FIRST_RATE = 500_000;
/** What counts as more packets than before. */
const MORE = 1.05;

/**
 * The most that arrived, at whatever rate: who sends more than the other takes is not the faster for
 * it, and on a host of two CPUs a sender without a limit leaves its guest none.
 */
const packets = (name: string, ...more: string[]): Load => ({
  row: { name: `net: ${name}`, unit: "/s", better: "higher" },
  async measure(address, job) {
    let most = 0;
    for (let rate = FIRST_RATE;; rate *= 2) {
      const flags = ["-u", "-b", `${rate}`, "-l", `${SMALL_BYTES}`, ...more];
      const end = await iperf(address, job, ...flags);
      const { packets, lost_packets, seconds } = end.sum_received ?? end.sum;
      const arrived = (packets - lost_packets) / seconds;
      if (arrived < most * MORE) return Math.max(most, arrived);
      most = arrived;
    }
  },
});

const LOADS: readonly Load[] = [
  bandwidth("TCP to the guest, 1 stream"),
  bandwidth("TCP to the guest, 4 streams", "-P", "4"),
  bandwidth("TCP from the guest, 1 stream", "-R"),
  bandwidth("TCP from the guest, 4 streams", "-P", "4", "-R"),
  {
    row: { name: "net: TCP request and response, median", unit: "us", better: "lower" },
    async measure(address, job) {
      const { stdout } = await run([
        ...["sockperf", "ping-pong", "-i", address, "-p", `${ECHO_PORT}`, "--tcp", "--full-rtt"],
        ...["-t", `${job.seconds}`],
      ], {
        env: toolsEnvironment(job.tools),
        signal: AbortSignal.timeout((job.seconds + 60) * 1000),
      });
      return found(/percentile 50\.\d+ *= *([\d.]+)/, stdout);
    },
  },
  packets(`UDP packets of ${SMALL_BYTES} bytes to the guest`),
  packets(`UDP packets of ${SMALL_BYTES} bytes from the guest`, "-R"),
];

export async function net(job: BenchJob, recorder: Recorder): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const running = new Map<Monitor, string>();
  for (const [index, monitor] of MONITORS.entries()) {
    await recorder.attempt(`net, ${monitor}`, async () => {
      const tap = `bench${index}`;
      await run(["ip", "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr"]);
      stack.defer(async () => void await run(["ip", "link", "del", tap]));
      await run(["ip", "addr", "add", `10.91.${index}.1/24`, "dev", tap]);
      await run(["ip", "link", "set", tap, "up"]);
      const boots = { kernel: job.files.kernel, initrd: job.files.tools.net };
      const guest = await BenchGuest.start({
        command: commandOf(monitor, { cpus: 1, memoryMiB: 256, boots, taps: [tap] }, job),
        until: REACHED.userSpace,
      });
      stack.use(guest);
      const address = `10.91.${index}.2`;
      await guest.run(
        `ip addr add ${address}/24 dev eth0 && ip link set eth0 up && iperf3 -s -D && ` +
          `{ sockperf server --tcp -i ${address} -p ${ECHO_PORT} > /dev/null 2>&1 & }`,
      );
      await run(["ping", "-c", "3", "-i", "0.2", "-w", "20", address]);
      running.set(monitor, address);
    });
  }
  for (const { row, measure } of LOADS) {
    for (let round = 1; round <= job.rounds; round++) {
      for (const [monitor, address] of running) {
        await recorder.attempt(
          `${row.name}, ${monitor}`,
          async () => recorder.add(row, monitor, await measure(address, job)),
        );
      }
    }
  }
}
