/**
 * An error with an HTTP status, for handlers and middlewares to throw.
 *
 * @example Refuse what is not there
 * ```ts
 * import { HttpError } from "fresh";
 *
 * const error = new HttpError(404, "No such guest");
 * console.log(error.status); // 404
 * ```
 */
export class HttpError extends Error {
  override name = "HttpError";
  status: number;

  constructor(status: number, message?: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
