/**
 * What the operations on the host's own settings do.
 *
 * @module
 */
import { settingsJsonSchema } from "../api/host_settings.ts";
import type { STORAGE_ROUTES } from "../api/storage_routes.ts";
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

type HostOperation =
  | "getSettingsSchema"
  | "getHostSsh"
  | "changeHostSsh"
  | "changeHost"
  | "getNetwork"
  | "changeNetwork"
  | "confirmNetwork"
  | "undoNetwork"
  | keyof typeof STORAGE_ROUTES;

export function hostHandlers(
  supervisor: Supervisor,
): Pick<Handlers, HostOperation> {
  const { network, ssh, storage, log } = supervisor;
  return {
    changeHost({ body, caller }) {
      log("info", "changing the host", { ...body, address: caller.address });
      return supervisor.change(body);
    },
    getSettingsSchema: () => settingsJsonSchema(),
    getHostSsh: () => ssh.get(),
    changeHostSsh({ body, caller }) {
      log("info", "changing who may log in by SSH", {
        keys: body.keys.length,
        address: caller.address,
      });
      return ssh.change(body);
    },
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
    listHostDisks: () => storage.disks(),
    getStorage: () => storage.get(),
    changeStorage: ({ body }) => storage.change(body),
    mirrorStorage({ body, caller }) {
      const { disk, confirm } = body;
      log("info", "adding a disk to the pool", { disk, confirm, address: caller.address });
      return storage.mirror(body);
    },
    unmirrorStorage({ body, caller }) {
      log("info", "taking a disk out of the pool", { ...body, address: caller.address });
      return storage.unmirror(body);
    },
    beginScrub: () => storage.scrub(true),
    endScrub: () => storage.scrub(false),
    installHost({ body, caller }) {
      const { disk, confirm } = body;
      log("info", "installing on a disk", { disk, confirm, address: caller.address });
      return storage.install(body);
    },
  };
}
