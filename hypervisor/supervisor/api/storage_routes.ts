/**
 * Routes of the host's disks and its pool.
 *
 * @module
 */
import * as z from "zod";
import type { Route } from "./route.ts";
import {
  DiskTarget,
  HostStorage,
  RemoveMember,
  StorageDisk,
  StorageSettings,
} from "./storage_schemas.ts";
import { Task } from "./task_schemas.ts";

const problems = ["not_an_appliance", "storage_refused"] as const;

export const STORAGE_ROUTES = {
  listHostDisks: {
    method: "GET",
    path: "/host/disks",
    summary: "The host's own disks, and what is on them",
    access: "session",
    status: 200,
    answer: z.array(StorageDisk),
    problems: ["not_an_appliance"],
  },
  getStorage: {
    method: "GET",
    path: "/host/storage",
    summary: "The host's disks, the pool that its data are on, and what has to be seen to",
    access: "session",
    status: 200,
    answer: HostStorage,
    problems: ["not_an_appliance"],
  },
  changeStorage: {
    method: "PATCH",
    path: "/host/storage",
    summary: "Change when the two disks of a mirror are compared",
    access: "session",
    body: StorageSettings,
    status: 200,
    answer: HostStorage,
    problems,
  },
  mirrorStorage: {
    method: "POST",
    path: "/host/storage/mirror",
    summary:
      "Erase a disk and have it hold all data too, as the second or in place of one that is gone",
    access: "session",
    body: DiskTarget,
    status: 202,
    answer: HostStorage,
    problems,
  },
  unmirrorStorage: {
    method: "POST",
    path: "/host/storage/unmirror",
    summary: "Take a disk out of the mirror; the other goes on alone",
    access: "session",
    body: RemoveMember,
    status: 200,
    answer: HostStorage,
    problems,
  },
  beginScrub: {
    method: "POST",
    path: "/host/storage/scrub",
    summary: "Compare the two disks of the mirror now",
    access: "session",
    status: 202,
    answer: HostStorage,
    problems,
  },
  endScrub: {
    method: "DELETE",
    path: "/host/storage/scrub",
    summary: "End the comparison that is under way, without a result",
    access: "session",
    status: 200,
    answer: HostStorage,
    problems,
  },
  installHost: {
    method: "POST",
    path: "/host/storage/install",
    summary: "Erase a disk and install this system on it, with an empty pool",
    access: "session",
    body: DiskTarget,
    status: 202,
    answer: Task,
    problems: [...problems, "busy"],
  },
} as const satisfies Record<string, Route>;
