/**
 * The socket by which the supervisor asks process 1 for what only that has.
 *
 * @module
 */

/** What is answered, by "METHOD /path". */
export type HostRoutes = Record<string, (request: Request) => Response | Promise<Response>>;

/** A socket that root alone can open; what it answers grows as the host starts. */
export class HostSocket {
  readonly #routes: HostRoutes = {};
  readonly #server: Deno.HttpServer<Deno.UnixAddr>;

  constructor(path: string) {
    this.#server = Deno.serve({ path, onListen: () => {} }, (request) => this.#answer(request));
    Deno.chmodSync(path, 0o600);
  }

  add(routes: HostRoutes): void {
    Object.assign(this.#routes, routes);
  }

  async close(): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const wanted = `${request.method} ${new URL(request.url).pathname}`;
    if (!Object.hasOwn(this.#routes, wanted)) {
      return failed(404, `Cannot ${wanted}: there is no such thing`);
    }
    try {
      return await this.#routes[wanted](request);
    } catch (error) {
      return failed(500, error instanceof Error ? error.message : String(error));
    }
  }
}

/** An answer that says why not. */
export function failed(status: number, message: string): Response {
  return Response.json({ message }, { status });
}
