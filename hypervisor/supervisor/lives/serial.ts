/**
 * Guests' serial ports.
 *
 * @module
 */
import { messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import { type Control, openControl } from "./control_client.ts";
import { type GuestLife, refuse } from "./guest_life.ts";

/** Between two tries to reach a VMM that is being set up. */
const OPEN_AGAIN_MS = 50;

/** A connection to the guest's serial port, by its VMM's control socket. */
export async function openSerial(life: GuestLife, socket: string): Promise<Control> {
  while (true) {
    refuse("console", life.phase);
    try {
      return await openControl(socket, { op: "serial" });
    } catch (error) {
      // A VMM that is being set up does not listen yet: whoever is early gets to see it all.
      if (life.state !== "starting") {
        throw problem(
          "busy",
          `Cannot open the console of "${life.record.name}": ${messageOf(error)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, OPEN_AGAIN_MS));
    }
  }
}
