/**
 * The supervisor's end of a VMM's control socket.
 *
 * @module
 */
import {
  type Event,
  MAX_LINE_BYTES,
  type Request,
  type Response,
  type Status,
} from "../../vmm/control.ts";
import { LineReader } from "./lines.ts";
import { EventMessage, parseMessage, ResponseMessage } from "./wire.ts";

/** A VMM answers at once or is not well. */
const ANSWER_MS = 10_000;

/** The VMM understood a request and does not do it. */
export class VmmRefusal extends Error {
  override readonly name = "VmmRefusal";
}

type Answer = Extract<Response, { ok: true }>;
export type DeviceReports = Extract<Answer, { devices: unknown }>["devices"];

/** A connection after its response. */
export interface Control extends Disposable {
  answer: Answer;
  connection: Deno.UnixConn;
  lines: LineReader;
  close(): void;
}

/** Sends one request. Throws where nobody listens, the VMM refuses or does not answer. */
export async function openControl(path: string, request: Request): Promise<Control> {
  const connection = await Deno.connect({ transport: "unix", path });
  const close = () => {
    try {
      connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  };
  // Closing the connection ends the read that waits on it.
  const timer = setTimeout(close, ANSWER_MS);
  try {
    const line = new TextEncoder().encode(JSON.stringify(request) + "\n");
    for (let at = 0; at < line.length;) at += await connection.write(line.subarray(at));
    const lines = new LineReader(connection, { longest: MAX_LINE_BYTES });
    const answer = await lines.next();
    if (answer === null) throw new Error(`Cannot ask the VMM for "${request.op}": it hung up`);
    const response = parseMessage(ResponseMessage, answer, "a VMM's answer");
    if (!response.ok) throw new VmmRefusal(response.error);
    return { answer: response, connection, lines, close, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Sends a request that only wants an answer. */
export async function askVmm(path: string, request: Request): Promise<Answer> {
  using control = await openControl(path, request);
  return control.answer;
}

/** The VMM's state out of an answer, as most requests have it. */
export function statusOf(answer: Answer): Status {
  if ("status" in answer) return answer.status;
  throw new SyntaxError("Cannot read a VMM's answer: it has no status");
}

/** The events of a connection that asked for them, until either side closes it. */
export async function* readEvents(control: Control): AsyncGenerator<Event> {
  while (true) {
    let line: string | null;
    try {
      line = await control.lines.next();
    } catch (error) {
      if (error instanceof RangeError) throw error;
      // A VMM that is killed resets its connections.
      return;
    }
    if (line === null) return;
    yield parseMessage(EventMessage, line, "a VMM's event");
  }
}
