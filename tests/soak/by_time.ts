/**
 * All that there is to soak in turns, until a time is over: `deno task soak --minutes N`.
 *
 * @module
 */
import { EXIT } from "./options.ts";

/** A soak of its own, short enough that others have their turn. */
export interface Turn {
  name: string;
  args: readonly string[];
}

/** How a turn ended. */
export type TurnEnd = "held" | "failed" | "no verdict" | "cut short";

/** In this order for ever; each time the power is cut at other moments. */
export function* turns(): Generator<Turn, never> {
  for (let round = 1;; round++) {
    const again = round > 1 ? ["--again"] : [];
    yield {
      name: "a guest that is saved, forked, sent and upgraded",
      args: ["--saves", "10", "--forks", "10", "--sends", "5", "--upgrades", "5"],
    };
    yield {
      name: "power cuts of a supervisor",
      args: ["--power-cuts", "100", "--here", "--seed", String(round), ...again],
    };
    yield {
      name: "power cuts of an appliance",
      args: [
        ...["--power-cuts", "50", "--starts", "2", "--plugs", "2"],
        ...["--seed", String(round), ...again],
      ],
    };
    yield { name: "a guest that moves between two hosts", args: ["--hosts", "2", "--moves", "5"] };
  }
}

export interface TurnOptions {
  minutes: number;
  /** Soaks for `seconds` at the most; null where it was ended for that. */
  soak: (args: readonly string[], seconds: number) => Promise<number | null>;
  say: (line: string) => void;
  /** Milliseconds, from any moment on. */
  now?: () => number;
}

/** Takes turns until the time is over, and tells each; returns the exit code for all of them. */
export async function soakByTime(options: TurnOptions): Promise<number> {
  const { minutes, soak, say, now = () => performance.now() } = options;
  const until = now() + minutes * 60_000;
  const counts: Record<TurnEnd, number> = {
    ...{ held: 0, failed: 0, "no verdict": 0, "cut short": 0 },
  };
  for (const { name, args } of turns()) {
    const seconds = Math.ceil((until - now()) / 1000);
    if (seconds <= 0) break;
    say(`== ${name}: ${args.join(" ")}`);
    const end = endOf(await soak(args, seconds));
    counts[end]++;
    say(`== ${name}: ${end}`);
  }
  say(`${Object.entries(counts).map(([end, count]) => `${count} ${end}`).join(", ")}`);
  if (counts.failed > 0) return EXIT.failed;
  return counts.held > 0 ? EXIT.held : EXIT.noVerdict;
}

function endOf(code: number | null): TurnEnd {
  if (code === null) return "cut short";
  if (code === EXIT.held) return "held";
  return code === EXIT.noVerdict ? "no verdict" : "failed";
}

/** What coreutils' `timeout` exits with when it ended what it ran. */
const TIMED_OUT = [124, 137];

/** A soak as a process, which is ended with all that it has started when its time is over. */
export async function soakFor(args: readonly string[], seconds: number): Promise<number | null> {
  const { code } = await new Deno.Command("timeout", {
    args: [
      ...["--kill-after=10", `${seconds}s`, Deno.execPath(), "run", "-A"],
      ...[new URL("./main.ts", import.meta.url).pathname, ...args],
    ],
  }).spawn().status;
  return TIMED_OUT.includes(code) ? null : code;
}
