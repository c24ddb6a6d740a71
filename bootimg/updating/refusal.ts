/**
 * What cannot be done with systems, in words for who asked for it.
 *
 * @module
 */
export class UpdateRefusal extends Error {
  override readonly name = "UpdateRefusal";
  readonly status: number;

  /** With the status that HTTP has for it. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
