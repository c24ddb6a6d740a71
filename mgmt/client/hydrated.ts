import { useLayoutEffect, useState } from "preact/hooks";

/**
 * Whether the island has taken over what the server rendered. Until then it must render the same, as
 * hydration adopts elements without comparing their attributes.
 */
export function useHydrated(): boolean {
  const [isHydrated, setHydrated] = useState(false);
  useLayoutEffect(() => setHydrated(true), []);
  return isHydrated;
}
