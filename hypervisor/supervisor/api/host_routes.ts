/**
 * Routes of the host's own settings.
 *
 * @module
 */
import * as z from "zod";
import { HostNetwork, Network } from "./network_schemas.ts";
import { Host, HostChange } from "./schemas.ts";
import type { Route } from "./route.ts";
import { HostSsh, HostSshChange } from "./ssh_schemas.ts";
import { STORAGE_ROUTES } from "./storage_routes.ts";
import { UPDATE_ROUTES } from "./update_routes.ts";

export const HOST_ROUTES = {
  ...STORAGE_ROUTES,
  ...UPDATE_ROUTES,
  getSettingsSchema: {
    method: "GET",
    path: "/settings.schema.json",
    summary: "The JSON Schema of denovisor.yaml, by which the appliance is set up from a file",
    access: "anyone",
    status: 200,
    answer: z.record(z.string(), z.unknown()),
  },
  getHostSsh: {
    method: "GET",
    path: "/host/ssh",
    summary: "Whether the host answers to SSH, and the keys that may log in as root",
    access: "session",
    status: 200,
    answer: HostSsh,
    problems: ["not_an_appliance"],
  },
  changeHostSsh: {
    method: "PUT",
    path: "/host/ssh",
    summary: "Set the keys that may log in to the host by SSH, at once; without any, SSH is off",
    access: "session",
    body: HostSshChange,
    status: 200,
    answer: HostSsh,
    problems: ["not_an_appliance", "ssh_refused"],
  },
  changeHost: {
    method: "PATCH",
    path: "/host",
    summary: "Change what becomes of guests when the host ends",
    access: "session",
    body: HostChange,
    status: 200,
    answer: Host,
  },
  getNetwork: {
    method: "GET",
    path: "/host/network",
    summary: "The host's own network, and the change of it that is tried",
    access: "session",
    status: 200,
    answer: HostNetwork,
    problems: ["not_an_appliance"],
  },
  changeNetwork: {
    method: "PUT",
    path: "/host/network",
    summary: "Try another network: it is undone, and the old one back, unless it is confirmed",
    access: "session",
    body: Network,
    status: 202,
    answer: HostNetwork,
    problems: ["not_an_appliance", "network_refused"],
  },
  confirmNetwork: {
    method: "POST",
    path: "/host/network/confirm",
    summary: "Keep the network that is tried, once it is in force",
    access: "session",
    status: 200,
    answer: HostNetwork,
    problems: ["not_an_appliance", "network_refused"],
  },
  undoNetwork: {
    method: "POST",
    path: "/host/network/undo",
    summary: "Give the network that is tried up at once",
    access: "session",
    status: 200,
    answer: HostNetwork,
    problems: ["not_an_appliance", "network_refused"],
  },
} as const satisfies Record<string, Route>;
