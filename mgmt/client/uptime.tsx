import { useEffect, useState } from "preact/hooks";
import { formatSpan } from "../components/format.ts";

/** How long since `since`, counted on while it is shown. */
export function Uptime({ since }: { since: string | null }) {
  const [now, setNow] = useState<number | null>(null);
  useEffect(() => {
    if (since === null) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [since]);
  if (since === null) return <>–</>;
  // The server's clock is not the browser's, so the count begins in the browser.
  return <span class="number">{formatSpan((now ?? Date.parse(since)) - Date.parse(since))}</span>;
}
