/**
 * What the operations on the host's own settings do.
 *
 * @module
 */
import { settingsJsonSchema } from "../api/host_settings.ts";
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

type HostOperation =
  | "getSettingsSchema"
  | "getNetwork"
  | "changeNetwork"
  | "confirmNetwork"
  | "undoNetwork";

export function hostHandlers({ network, log }: Supervisor): Pick<Handlers, HostOperation> {
  return {
    getSettingsSchema: () => settingsJsonSchema(),
    getNetwork: () => network.get(),
    changeNetwork({ body, caller }) {
      log("info", "trying another network", { address: caller.address });
      return network.try(body);
    },
    async confirmNetwork({ caller }) {
      const told = await network.confirm();
      log("info", "the network was confirmed", { address: caller.address });
      return told;
    },
    undoNetwork: () => network.undo(),
  };
}
