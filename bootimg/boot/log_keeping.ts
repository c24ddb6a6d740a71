/**
 * Where the log goes beside memory: to the data partition, and to another host.
 *
 * @module
 */
import { parseSyslogTarget } from "../../hypervisor/supervisor/api/syslog_target.ts";
import { Journal } from "../log/journal.ts";
import { SyslogSender } from "../log/syslog_sender.ts";
import { book, log } from "./log.ts";

/** Keeps the log in a folder from now on, with what it has already. */
export async function keepLog(folder: string): Promise<Journal> {
  const journal = await Journal.open(folder, {
    onTrouble: (why) => log(`the log cannot be kept on the disk for now: ${why}`, "warning"),
  });
  book.keepIn(journal);
  return journal;
}

/** Sends the log to where the settings want it. */
export function sendLog(
  syslog: string | undefined,
  onTrouble: (trouble: string | null) => void,
): void {
  const target = syslog === undefined ? null : parseSyslogTarget(syslog);
  if (target === null) return;
  new SyslogSender({
    ...{ book, target, hostname: () => Deno.hostname() },
    onTrouble: (why) => onTrouble(why && `The log cannot be sent to ${syslog} for now: ${why}`),
  });
}
