/**
 * Exchanges the network cards of a guest that has just gone on from another's memory: each is pulled out of
 * its hot-plug port and a new one put in. So its system finds a new card with an address of its own, and
 * asks the network for the rest, as it would with any card. Nothing is lost by pulling one: what was on its
 * way was its parent's.
 *
 * @module
 */
import { delay } from "@std/async";
import { problem } from "../problem.ts";
import type { NetRecord } from "../store/guests.ts";
import { plugIn, takeOut } from "./device_ground.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Launcher } from "./launcher.ts";
import { netDevice } from "./run.ts";
import { netConfig } from "./vm_config.ts";

/** A VMM takes a card out at once, and says so. */
const GONE_MS = 10_000;
const LOOK_MS = 10;

/** Exchanges those cards; each is in a port. */
export async function replug(
  life: GuestLife,
  nets: readonly NetRecord[],
  { launcher }: { launcher: Pick<Launcher, "attach" | "detach"> },
): Promise<void> {
  for (const net of nets) {
    await takeOut(life, net.id, { force: true });
    await gone(life, net);
    // Its tap is about to be removed, which is not to happen to the next.
    await launcher.detach([net.id]);
    const tap = launcher.attach(net, life.process!.run);
    try {
      await plugIn(
        life,
        netDevice(net, "port"),
        (process) => process.plug({ net: netConfig(net, tap) }),
      );
    } catch (error) {
      await launcher.detach([net.id]);
      throw error;
    }
  }
  life.tell();
}

/** Resolves once the VMM has said that the card is out: the next may get the same name. */
async function gone(life: GuestLife, { id, mac }: NetRecord): Promise<void> {
  const late = Date.now() + GONE_MS;
  const { name } = life.record;
  while (life.process?.run.find(id) !== undefined) {
    if (Date.now() > late) {
      throw problem("busy", `Cannot take the network card ${mac} out of "${name}": it stays`);
    }
    await delay(LOOK_MS);
  }
  if (life.process === null) {
    throw problem("wrong_state", `Cannot exchange the network cards of "${name}": it has ended`);
  }
}
