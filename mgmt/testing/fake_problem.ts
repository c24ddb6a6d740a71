import type { Problem } from "../../hypervisor/supervisor/api/schemas.ts";

/** An answer that is a problem. */
export function problem(
  status: number,
  code: string,
  message: string,
  more: Partial<Problem> = {},
): Response {
  return Response.json({ code, message, ...more }, { status });
}
