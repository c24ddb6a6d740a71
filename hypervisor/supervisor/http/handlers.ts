/**
 * What each operation of the table of routes does.
 *
 * @module
 */
import { openApiDocument } from "../api/openapi.ts";
import type { AnswerOf, BodyOutput, Operation, ParamsOf, QueryOf } from "../api/routes.ts";
import type { HostShutdownProgress, SessionInfo } from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import type { Supervisor } from "../supervisor.ts";
import { VERSION } from "../version.ts";
import { bridgeConsole } from "./console.ts";
import { sessionCookie } from "./cookies.ts";
import { type Caller, endsOf } from "./door.ts";
import { hostHandlers } from "./host_handlers.ts";
import { lifeHandlers } from "./life_handlers.ts";
import { logHandlers } from "./log_handlers.ts";
import { createPeerHandlers } from "./peer_handlers.ts";
import { eventStream } from "./sse.ts";
import { updateHandlers } from "./update_handlers.ts";
import { upgradeHandlers } from "./upgrade_handlers.ts";
import { uploadOf } from "./upload.ts";

/** A request that was let in and checked. */
export interface Call<O extends Operation> {
  request: Request;
  params: ParamsOf<O>;
  query: QueryOf<O>;
  body: BodyOutput<O>;
  caller: Caller;
}

/** A value for the answer, or a response of its own. */
type Result<O extends Operation> =
  | Response
  | AnswerOf<O>
  // What has no answer returns nothing.
  | (undefined extends AnswerOf<O> ? void : never);

export type Handlers = {
  [O in Operation]: (call: Call<O>) => Result<O> | Promise<Result<O>>;
};

function withCookie(info: SessionInfo, token: string | null): Response {
  return Response.json(info, { headers: { "set-cookie": sessionCookie(token) } });
}

export function createHandlers(supervisor: Supervisor): Handlers {
  const { access, guests, images, events, log } = supervisor;
  const session = (caller: Caller): SessionInfo => ({
    setupNeeded: access.setupNeeded,
    signedIn: caller.door === "local" || caller.session !== null,
    csrfToken: caller.session?.csrfToken ?? null,
  });
  const signedOut = (): SessionInfo => ({
    setupNeeded: access.setupNeeded,
    signedIn: false,
    csrfToken: null,
  });
  return {
    getOpenApi: () => openApiDocument(VERSION),
    getSession: ({ caller }) => session(caller),
    async login({ body, caller }) {
      const { token, csrfToken } = await access.logIn(body.password, caller.address);
      // A session that the browser had is not left behind.
      if (caller.token !== null) await access.sessions.delete(caller.token);
      log("info", "signed in", { address: caller.address });
      return withCookie({ setupNeeded: false, signedIn: true, csrfToken }, token);
    },
    async logout({ caller }) {
      if (caller.token !== null) await access.sessions.delete(caller.token);
      return withCookie(signedOut(), null);
    },
    async setup({ body, caller }) {
      await access.setUp(body, caller.address);
      log("info", "the administrator's password was set", { address: caller.address });
      return signedOut();
    },
    async resetAccess() {
      await access.reset();
      log("warn", "the administrator's password was reset");
      return signedOut();
    },
    getHost: () => supervisor.host(),
    getHealth: () => supervisor.health(),
    shutdownHost({ body }) {
      log("info", "stopping all guests", { ...body });
      return progressLines(guests.shutdown(body), (error) => {
        log("error", "cannot stop all guests", { error: messageOf(error) });
      });
    },
    listGuests: () => guests.list(),
    createGuest: ({ body }) => guests.create(body),
    getGuest: ({ params }) => guests.get(params.id),
    getCloudInit: ({ params }) => guests.cloudInit(params.id),
    updateGuest: ({ params, body }) => guests.update(params.id, body),
    deleteGuest: ({ params }) => guests.delete(params.id),
    startGuest: ({ params }) => guests.start(params.id),
    stopGuest: ({ params, body }) => guests.stop(params.id, body),
    resetGuest: ({ params }) => guests.reset(params.id),
    pauseGuest: ({ params }) => guests.pause(params.id),
    resumeGuest: ({ params }) => guests.resume(params.id),
    getFigures: ({ params }) => guests.figures(params.id),
    addDisk: ({ params, body }) => guests.disks.add(params.id, body),
    updateDisk: ({ params, body }) => guests.disks.update(params.id, params.disk, body),
    deleteDisk: ({ params }) => guests.disks.delete(params.id, params.disk),
    plugDisk: ({ params }) => guests.disks.plug(params.id, params.disk),
    unplugDisk: ({ params, body }) => guests.disks.unplug(params.id, params.disk, body),
    addNet: ({ params, body }) => guests.nets.add(params.id, body),
    updateNet: ({ params, body }) => guests.nets.update(params.id, params.net, body),
    deleteNet: ({ params }) => guests.nets.delete(params.id, params.net),
    plugNet: ({ params }) => guests.nets.plug(params.id, params.net),
    unplugNet: ({ params, body }) => guests.nets.unplug(params.id, params.net, body),
    ...lifeHandlers(supervisor),
    ...createPeerHandlers(supervisor),
    ...hostHandlers(supervisor),
    ...logHandlers(supervisor),
    guestConsole: (call) =>
      bridgeConsole(
        call.request,
        () => guests.openSerial(call.params.id),
        endsOf(supervisor, call.caller),
      ),
    events: (call) =>
      eventStream(
        events,
        async () => ({
          host: await supervisor.host(),
          guests: guests.list(),
          tasks: supervisor.tasks.list(),
          storage: supervisor.storage.told,
        }),
        endsOf(supervisor, call.caller),
      ),
    listImages: () => images.list(),
    putImage({ request, params }) {
      const { body, size } = uploadOf(request);
      return images.put(params, body, { size });
    },
    deleteImage: ({ params }) => images.delete(params.kind, params.name),
    ...upgradeHandlers(supervisor),
    ...updateHandlers(supervisor),
  };
}

/** Tells progress line by line; goes on where nobody listens any more. */
function progressLines(
  steps: AsyncGenerator<HostShutdownProgress>,
  failed: (error: unknown) => void,
): Response {
  let listening = true;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      (async () => {
        for await (const step of steps) {
          if (listening) controller.enqueue(new TextEncoder().encode(JSON.stringify(step) + "\n"));
        }
        if (listening) controller.close();
      })().catch((error) => {
        failed(error);
        if (listening) controller.error(error);
      });
    },
    cancel() {
      listening = false;
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
}
