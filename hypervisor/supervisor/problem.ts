/**
 * What the API answers when it does not do what it was asked.
 *
 * @module
 */
import type { Problem } from "./api/schemas.ts";

export interface ProblemOptions {
  fields?: { path: string; message: string }[];
  headers?: Record<string, string>;
}

/** An error whose message is meant for the caller. */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";
  readonly status: number;
  readonly code: string;
  readonly fields?: { path: string; message: string }[];
  readonly headers: Record<string, string>;

  constructor(
    [status, code]: readonly [number, string],
    message: string,
    options: ProblemOptions = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = options.fields;
    this.headers = options.headers ?? {};
  }

  /** The body of the answer. */
  toJSON(): Problem {
    return this.fields === undefined
      ? { code: this.code, message: this.message }
      : { code: this.code, message: this.message, fields: this.fields };
  }
}

/** Every code with its status, so that one code never comes with two statuses. */
export const PROBLEMS = {
  invalid_body: [400, "invalid_body"],
  invalid_path: [400, "invalid_path"],
  invalid_query: [400, "invalid_query"],
  wrong_media_type: [415, "wrong_media_type"],
  body_too_large: [413, "body_too_large"],
  not_signed_in: [401, "not_signed_in"],
  wrong_password: [401, "wrong_password"],
  wrong_code: [401, "wrong_code"],
  csrf_failed: [403, "csrf_failed"],
  foreign_origin: [403, "foreign_origin"],
  local_only: [403, "local_only"],
  not_found: [404, "not_found"],
  method_not_allowed: [405, "method_not_allowed"],
  setup_needed: [409, "setup_needed"],
  setup_done: [409, "setup_done"],
  name_taken: [409, "name_taken"],
  mac_taken: [409, "mac_taken"],
  wrong_state: [409, "wrong_state"],
  image_exists: [409, "image_exists"],
  image_in_use: [409, "image_in_use"],
  disk_in_use: [409, "disk_in_use"],
  device_in_use: [409, "device_in_use"],
  too_many_devices: [409, "too_many_devices"],
  shutting_down: [409, "shutting_down"],
  not_an_appliance: [409, "not_an_appliance"],
  no_such_image: [422, "no_such_image"],
  no_such_store: [422, "no_such_store"],
  bad_image: [422, "bad_image"],
  bad_disk: [422, "bad_disk"],
  disk_too_small: [422, "disk_too_small"],
  not_enough_memory: [422, "not_enough_memory"],
  device_refused: [422, "device_refused"],
  start_failed: [422, "start_failed"],
  peer_refused: [422, "peer_refused"],
  network_refused: [422, "network_refused"],
  storage_refused: [422, "storage_refused"],
  ssh_refused: [422, "ssh_refused"],
  update_refused: [422, "update_refused"],
  not_a_websocket: [426, "not_a_websocket"],
  too_many_attempts: [429, "too_many_attempts"],
  peer_unreachable: [502, "peer_unreachable"],
  internal: [500, "internal"],
  busy: [503, "busy"],
  store_unavailable: [503, "store_unavailable"],
  disk_full: [507, "disk_full"],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemCode = keyof typeof PROBLEMS;

/** Makes the error for `code`; its status comes from {@linkcode PROBLEMS}. */
export function problem(code: ProblemCode, message: string, options?: ProblemOptions): ApiProblem {
  return new ApiProblem(PROBLEMS[code], message, options);
}
