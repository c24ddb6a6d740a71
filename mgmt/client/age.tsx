import { useEffect, useState } from "preact/hooks";
import { formatSpan, formatTime } from "../components/format.ts";

const MINUTE_MS = 60_000;

/** How long ago something was, to the minute, and when that was. */
export function Age({ since }: { since: string }) {
  const [now, setNow] = useState<number | null>(null);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), MINUTE_MS);
    return () => clearInterval(timer);
  }, []);
  const time = formatTime(since);
  // The server's clock is not the browser's, so an age is only told in the browser.
  if (now === null) return <time class="number" datetime={since}>{time}</time>;
  const minutes = Math.floor((now - Date.parse(since)) / MINUTE_MS);
  return (
    <time class="number" datetime={since} title={time}>
      {minutes < 1 ? "just now" : `${formatSpan(minutes * MINUTE_MS)} ago`}
    </time>
  );
}
