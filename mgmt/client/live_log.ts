/**
 * The host's log on its page: what was told, and by a stream of its own what comes, for as long as
 * somebody looks at it.
 *
 * @module
 */
import { useEffect, useRef, useState } from "preact/hooks";
import type {
  LogBatch,
  LogLevel,
  LogPage,
  LogRecord,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { call, messageOf } from "./api.ts";
import { toast } from "./toasts.ts";

/** As many rows as a browser draws without a thought. */
export const MOST_ROWS = 2000;
/** What is asked for at once. */
const PAGE_RECORDS = 200;
const RETRY_MS = 3000;

export interface ShownLog {
  /** The newest first. */
  records: LogRecord[];
  /** How many came too fast to be told. */
  missed: number;
  /** Whether there is nothing before them. */
  isAll: boolean;
  showEarlier(): Promise<void>;
}

/** What a page shows of the log: `seed` at first, which is of the level "info". */
export function useLog(
  seed: LogPage,
  { level, isFollowing }: { level: LogLevel; isFollowing: boolean },
): ShownLog {
  const [shown, setShown] = useState(() => ({
    records: seed.records.toReversed(),
    missed: 0,
    isAll: seed.records.length < PAGE_RECORDS,
  }));
  // The newest record that there was at the last look, whether it is shown or not.
  const last = useRef(seed.last);
  // The level that what is shown is of.
  const loaded = useRef<LogLevel>("info");

  useEffect(() => {
    let isOver = false;
    let end = () => {};
    const begin = async () => {
      if (loaded.current !== level) {
        const page = await call("getLog", { query: { level, limit: PAGE_RECORDS } });
        if (isOver) return;
        loaded.current = level;
        last.current = page.last;
        setShown({
          records: page.records.toReversed(),
          missed: 0,
          isAll: page.records.length < PAGE_RECORDS,
        });
      }
      // What comes is what is after what is shown.
      if (!isFollowing) return;
      end = listen(level, {
        from: () => last.current,
        take({ records, missed }) {
          if (records.length > 0) last.current = Math.max(last.current, records.at(-1)!.seq);
          setShown((before) => withNew(before, { records, missed }));
        },
      });
    };
    begin().catch((error) => toast("problem", messageOf(error)));
    return () => {
      isOver = true;
      end();
    };
  }, [level, isFollowing]);

  return {
    ...shown,
    async showEarlier() {
      const before = shown.records.at(-1)?.seq ?? last.current + 1;
      try {
        const { records } = await call("getLog", {
          query: { level, before, limit: PAGE_RECORDS },
        });
        setShown((now) => ({
          ...now,
          records: [...now.records, ...records.toReversed()],
          isAll: records.length < PAGE_RECORDS,
        }));
      } catch (error) {
        toast("problem", messageOf(error));
      }
    },
  };
}

/** What is shown, with what came; what was shown already is not shown twice. */
export function withNew<T extends { records: LogRecord[]; missed: number; isAll: boolean }>(
  before: T,
  { records, missed }: LogBatch,
): T {
  const newest = before.records[0]?.seq ?? 0;
  const fresh = records.filter(({ seq }) => seq > newest).toReversed();
  const all = [...fresh, ...before.records];
  return {
    ...before,
    records: all.slice(0, MOST_ROWS),
    missed: before.missed + missed,
    isAll: before.isAll && all.length <= MOST_ROWS,
  };
}

/** Has each batch taken; the function that comes back ends it. */
function listen(
  level: LogLevel,
  { from, take }: { from: () => number; take: (batch: LogBatch) => void },
): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const open = () => {
    source = new EventSource(`/api/v1/host/log/events?level=${level}&after=${from()}`);
    source.addEventListener("log", ({ data }) => take(JSON.parse(data)));
    source.onerror = () => {
      // From where it broke off, and not from where it began, as the browser would.
      source?.close();
      clearTimeout(timer);
      timer = setTimeout(open, RETRY_MS);
    };
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
  };
  // A page kept for "back" would count as an open stream.
  addEventListener("pagehide", close);
  addEventListener("pageshow", reopen);
  function reopen({ persisted }: PageTransitionEvent) {
    if (persisted) open();
  }
  open();
  return () => {
    removeEventListener("pagehide", close);
    removeEventListener("pageshow", reopen);
    close();
  };
}
