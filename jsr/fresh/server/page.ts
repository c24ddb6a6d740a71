import type { PageResponse } from "./types.ts";

/**
 * Answers a request with the route's component, rendered with `data`.
 *
 * @example
 * ```ts
 * import { page } from "fresh";
 *
 * export const handler = { GET: () => page({ guests: 3 }, { status: 200 }) };
 * ```
 */
export function page(): PageResponse<undefined>;
export function page<Data>(
  data: Data,
  options?: { headers?: HeadersInit; status?: number },
): PageResponse<Data>;
export function page<Data>(
  data?: Data,
  options: { headers?: HeadersInit; status?: number } = {},
): PageResponse<Data> {
  return {
    data: data as Data,
    headers: options.headers,
    status: options.status,
  };
}
