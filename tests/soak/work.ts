/**
 * The work of a Linux guest that proves all the while that it has lost nothing: fio writes to its disk and
 * reads that back, a counter stands in memory and, number after number, on another disk, numbers go to the
 * host over one TCP connection, some memory and some of a disk stay as they are, and its clock is the host's.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";

/** Something that runs a line in a guest's shell and returns what it printed. */
export interface Shell {
  command(line: string): Promise<string>;
}

/** By how much the guest's clock may differ from the host's: it tells whole seconds. */
const MOST_SECONDS = 2;

/** How long a number may take, where a machine has little time for all of its emulated ones. */
const COUNT_PATIENCE_MS = 60_000;

const FIO_MIB = 24;
/** What stays as it is: so much of memory, and of the first disk behind what fio has. */
const STILL_MIB = 4;
/** A sector for each of the counter's last numbers. */
const NUMBERS = 2048;

/** How large the guest's two disks have to be. */
export const DISKS_MIB = [FIO_MIB + STILL_MIB, NUMBERS * 512 / 2 ** 20] as const;

/** It reads back what it wrote so many writes before: the more, the longer ago that was. */
const fio = (backlog: number) =>
  `fio --name=soak --filename=/dev/vda --size=${FIO_MIB}M --bs=4k --rw=randwrite --direct=1 ` +
  `--verify=crc32c --verify_backlog=${backlog} --verify_fatal=1 --loops=1000000 --thinktime=20000 ` +
  "--output=/tmp/fio.log";

const SUMS = `sha256sum < /dev/shm/still; ` +
  `dd if=/dev/vda bs=1M skip=${FIO_MIB} count=${STILL_MIB} iflag=direct 2> /dev/null | sha256sum`;

/** An empty disk of the counter's. */
export const UNCOUNTED = `awk 'BEGIN { for (i = 0; i < ${NUMBERS}; i++) printf "%-511d\\n", 0 }'`;

/**
 * Each number goes to memory first, and then to its own sector; the clock never goes back. Never is there no
 * number, as there would be for a moment if the file were made anew.
 */
const COUNT = "echo 0 > /dev/shm/count; " +
  `(i=0; last=0; while :; do i=$((i+1)); printf '%-20d\\n' $i 1<> /dev/shm/count; ` +
  `printf '%-511d\\n' $i | dd of=/dev/vdb bs=512 seek=$((i % ${NUMBERS})) oflag=direct 2> /dev/null; ` +
  "read -r up idle < /proc/uptime; up=${up%.*}${up#*.}; " +
  '[ $up -ge $last ] || echo "from $last to $up" >> /tmp/clock.back; last=$up; sleep 0.1; done) &';

/** Where the counter's numbers are. */
interface Counted {
  memory: string;
  disk: string;
  /** For a copy of the disk. */
  copy: string;
}

const COUNTED: Counted = { memory: "/dev/shm/count", disk: "/dev/vdb", copy: "/tmp/counted" };

/** A line that says which sectors have another number than they must, and at last where the counter is. */
export function countedLine({ memory, disk, copy }: Counted = COUNTED): string {
  return `low=$(cat ${memory}); dd if=${disk} of=${copy} bs=64k iflag=direct 2> /dev/null; ` +
    `high=$(cat ${memory}); low=$(echo $low); ` +
    // Of two numbers for one sector the later; the last of all may not be written yet.
    `awk -v low=$((low - 1)) -v high=$high '{ k = NR - 1; ` +
    `least = low - ((low - k) % ${NUMBERS} + ${NUMBERS}) % ${NUMBERS}; if (least < 0) least = 0; ` +
    `if ($1 < least || $1 > high || ($1 > 0 && $1 % ${NUMBERS} != k)) ` +
    `if (bad++ < 5) print "sector " k " has " $1 " and not " least } ` +
    `END { if (NR != ${NUMBERS}) print NR " sectors" }' ${copy}; echo $high`;
}

/** Where the guest is on its network, and where its numbers go. */
export interface Addresses {
  host: string;
  guest: string;
  port: number;
}

/** Gives the guest its work. */
export async function startWork(
  shell: Shell,
  { host, guest, port, backlog = 64 }: Addresses & { backlog?: number },
): Promise<void> {
  await shell.command(`ip addr add ${guest}/24 dev eth0 && ip link set eth0 up`);
  await shell.command(`date -s @${Math.floor(Date.now() / 1000)} > /dev/null`);
  await shell.command(
    `dd if=/dev/urandom of=/dev/shm/still bs=1M count=${STILL_MIB} 2> /dev/null && ` +
      `dd if=/dev/shm/still of=/dev/vda bs=1M seek=${FIO_MIB} oflag=direct 2> /dev/null`,
  );
  await shell.command(`{ ${SUMS}; } > /tmp/sums`);
  await shell.command(
    `${UNCOUNTED} > ${COUNTED.copy} && ` +
      `dd if=${COUNTED.copy} of=${COUNTED.disk} bs=64k oflag=direct 2> /dev/null`,
  );
  await shell.command(`{ ${fio(backlog)}; echo $? > /tmp/fio.end; } > /dev/null 2>&1 &`);
  await shell.command(COUNT);
  await shell.command(
    `(i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done) | nc ${host} ${port} > /dev/null 2>&1 &`,
  );
}

/** Nothing is lost or doubled, and all go on; what the counter is. */
export async function checkWork(shell: Shell): Promise<number> {
  const count = async () => {
    const wrong = (await shell.command(countedLine())).split("\n");
    const number = Number(wrong.pop());
    assertEquals(wrong, [], `the counter's disk is wrong at ${number}`);
    return number;
  };
  const before = await count();
  const deadline = performance.now() + COUNT_PATIENCE_MS;
  let after = before;
  while (after === before) {
    assert(performance.now() < deadline, `the counter stands at ${after}`);
    await shell.command("sleep 0.5");
    after = await count();
  }
  assertEquals(
    await shell.command("cat /tmp/fio.end /tmp/fio.log 2> /dev/null || true"),
    "",
  );
  assertEquals(await shell.command(SUMS), await shell.command("cat /tmp/sums"));
  assertEquals(await shell.command("cat /tmp/clock.back 2> /dev/null || true"), "");
  const began = Date.now();
  const time = Number(await shell.command("date +%s"));
  const off = [began / 1000 - time, time - Date.now() / 1000].map((it) => Math.max(0, it));
  assert(Math.max(...off) <= MOST_SECONDS, `the guest's clock is ${Math.max(...off)} s off`);
  const bad = "soft lockup|rcu.*stall|unstable|Call Trace|I/O error|BUG:";
  assertEquals(await shell.command(`dmesg | grep -E '${bad}' || true`), "");
  return after;
}
