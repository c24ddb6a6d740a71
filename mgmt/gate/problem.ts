import type { Problem } from "../../hypervisor/supervisor/api/schemas.ts";

/** An error of this process's own, in the API's form. */
export function problem(status: number, code: string, message: string): Response {
  const body: Problem = { code, message };
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}
