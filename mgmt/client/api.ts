/**
 * The API as islands use it. Its client brings the schemas along, which are larger than all pages
 * together, so it is loaded when the browser has nothing else to do.
 *
 * @module
 */
import { IS_BROWSER } from "fresh/runtime";
import type { ApiClient, ApiError, CallInput } from "../../hypervisor/supervisor/api/client.ts";
import type { AnswerOf, Operation } from "../../hypervisor/supervisor/api/routes.ts";
import type * as Schemas from "../../hypervisor/supervisor/api/schemas.ts";

let client: Promise<ApiClient> | undefined;

function loadClient(): Promise<ApiClient> {
  return client ??= import("../../hypervisor/supervisor/api/client.ts").then(
    ({ ApiClient }) => new ApiClient({ headers: () => ({ "x-csrf-token": csrfToken() }) }),
    (error) => {
      // The next call tries again.
      client = undefined;
      throw error;
    },
  );
}

/** The schemas that the supervisor checks bodies with. */
export function loadSchemas(): Promise<typeof Schemas> {
  return import("../../hypervisor/supervisor/api/schemas.ts");
}

// Safari has no idle callbacks.
if (IS_BROWSER) {
  (globalThis.requestIdleCallback ?? setTimeout)(() => void loadClient().catch(() => {}));
}

export function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

/** Calls the API; where the session is over, goes to the login. */
export async function call<O extends Operation>(
  operation: O,
  input: CallInput<O>,
): Promise<AnswerOf<O>> {
  const loaded = await loadClient();
  try {
    return await loaded.call(operation, input);
  } catch (error) {
    if (isApiError(error) && error.problem.code === "not_signed_in") goToLogin();
    throw error;
  }
}

/** Without the class itself, which would have to be loaded first. */
export function isApiError(error: unknown): error is ApiError {
  return error instanceof Error && error.name === "ApiError";
}

export function goToLogin(): void {
  const next = location.pathname === "/" ? "" : `?next=${encodeURIComponent(location.pathname)}`;
  location.assign(`/login${next}`);
}

/** What went wrong, for a person. */
export function messageOf(error: unknown): string {
  if (isApiError(error)) return error.message;
  return "Cannot reach the host: the connection is gone. Try again";
}

/** Messages of the fields that a problem names, by path. */
export function fieldErrors(error: unknown): Record<string, string> {
  if (!isApiError(error)) return {};
  return Object.fromEntries((error.problem.fields ?? []).map((it) => [it.path, it.message]));
}
