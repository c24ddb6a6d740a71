/** Rate limits of a configuration. @module */
import { checkRateLimit } from "../../devices/virtio/rate_limit.ts";
import type { RateLimitConfig } from "../control.ts";
import { ConfigError } from "./fields.ts";

/** `what` such as "a disk's rate limit"; undefined where there is none. */
export function rateLimit(value: unknown, what: string): RateLimitConfig | undefined {
  if (value === undefined || value === null) return undefined;
  try {
    return checkRateLimit(value, what);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}
