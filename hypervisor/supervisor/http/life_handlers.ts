/**
 * What operations on guests as a whole do: tasks, snapshots, reverts and forks.
 *
 * @module
 */
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

type LifeOperation =
  | "listTasks"
  | "getTask"
  | "getTaskPoints"
  | "cancelTask"
  | "listSnapshots"
  | "listTemplates"
  | "createSnapshot"
  | "updateSnapshot"
  | "deleteSnapshot"
  | "revertGuest"
  | "discardMemory"
  | "forkGuest";

export function lifeHandlers({ tasks, guests }: Supervisor): Pick<Handlers, LifeOperation> {
  const { snapshots, reverts, forks } = guests;
  return {
    listTasks: () => tasks.list(),
    getTask: ({ params }) => tasks.get(params.id),
    getTaskPoints: ({ params }) => tasks.points(params.id),
    cancelTask: ({ params }) => tasks.cancel(params.id),
    listSnapshots: ({ params }) => snapshots.tree(params.id),
    listTemplates: () => snapshots.templates(),
    createSnapshot: ({ params, body }) => snapshots.create(params.id, body),
    updateSnapshot: ({ params, body }) => snapshots.update(params.id, params.snapshot, body),
    deleteSnapshot: ({ params }) => snapshots.delete(params.id, params.snapshot),
    revertGuest: ({ params, body }) => reverts.revert(params.id, params.snapshot, body),
    discardMemory: ({ params }) => reverts.discardMemory(params.id),
    forkGuest: ({ params, body }) => forks.create(params.id, body),
  };
}
