/**
 * Inside two PCs of the lab: one guest that moves from one to the other and back, time after time, and has
 * never lost anything. The first PC has it moved and looks at it; the second is just a host.
 *
 * @module
 */
import { ADDRESSES, isOtherHost } from "../../scripts/bench_run/segment.ts";
import { type Boots, MovingGuest } from "./moving_guest.ts";
import { followTime, tellTime } from "./one_clock.ts";
import { EXIT } from "./options.ts";
import { Pauses, Proof, teller } from "./proof.ts";
import { SequenceServer } from "./sequence_server.ts";
import { beHost, HostApi, pair } from "./soak_host.ts";
import { startWork } from "./work.ts";

/** What is told by `main.ts`, as JSON. */
export interface MovesJob extends Boots {
  moves: number;
  supervisor: string;
  vmm: string;
}

const STREAM_PORT = 7000;
const TIME = { hostname: ADDRESSES.first, port: 7201 };
/** What fio reads back may have been written some moves ago. */
const BACKLOG = 1024;
/** So many moves in a row may be given up, each with the guest where it was. */
const MOST_GIVEN_UP = 3;

async function soak(job: MovesJob): Promise<number> {
  const tell = teller();
  await beHost("first", job);
  tellTime(TIME);
  const hosts = [new HostApi("first"), new HostApi("second")] as const;
  const [first, second] = hosts;
  await pair(first, second);
  tell("the two hosts are paired");
  await using server = new SequenceServer({ hostname: ADDRESSES.first, port: STREAM_PORT });
  const pauses = new Pauses();
  let done = 0;
  let givenUp = 0;
  let guest: MovingGuest | undefined;
  try {
    guest = await MovingGuest.start(first, job);
    tell("the guest is up");
    const where = { host: ADDRESSES.first, guest: ADDRESSES.guest, port: STREAM_PORT };
    await startWork(guest, { ...where, backlog: BACKLOG });
    const proof = new Proof(server);
    await proof.holds(guest);
    tell("the guest is at work");
    for (let inARow = 0; done < job.moves;) {
      const to = guest.at === first ? second : first;
      const began = performance.now();
      const task = await guest.move(to);
      const seconds = ((performance.now() - began) / 1000).toFixed(0);
      if (task.state !== "done") {
        givenUp++;
        tell(`a move to the ${to.side} is given up after ${seconds} s: ${task.error}`);
        await proof.holds(guest);
        if (++inARow === MOST_GIVEN_UP) throw new Error(`${inARow} moves in a row were given up`);
        continue;
      }
      const pauseMs = task.pauseMs ?? 0;
      tell(`to the ${to.side}: ${seconds} s, the guest stood still for ${pauseMs} ms`);
      await proof.holds(guest);
      done++;
      inARow = 0;
      pauses.add("move", pauseMs);
      if (done % 10 === 0 || done === job.moves) tell(`move: ${done} of ${job.moves}`);
    }
    return EXIT.held;
  } catch (error) {
    const failure = await guest?.failure(hosts) ?? null;
    const what = `${(error as Error).stack}\nThe guest: ${failure ?? "its VMM has not failed"}; ` +
      `it wrote at last:\n${guest?.lastWords}`;
    tell(`FAILED: ${what}`);
    return EXIT.failed;
  } finally {
    guest?.[Symbol.dispose]();
    tell(`${done} moves of ${job.moves}, ${givenUp} more were given up`);
    console.log(pauses.figures());
  }
}

/** Is a host, until the first PC is through. */
async function serve(job: MovesJob): Promise<number> {
  const { ended } = await beHost("second", job);
  void followTime(TIME, (text) => console.log(text));
  const { code } = await ended;
  console.log(`the second PC's supervisor has ended with ${code}`);
  return EXIT.failed;
}

if (import.meta.main) {
  const job: MovesJob = JSON.parse(Deno.args[0]);
  Deno.exit(await (isOtherHost() ? serve : soak)(job));
}
