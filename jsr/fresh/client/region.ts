/**
 * The nodes between two comments, with as much of an element's interface as Preact uses of the
 * element it renders into.
 */
export class Region {
  readonly nodeType = 1;
  readonly #end: Comment;

  constructor(readonly start: Comment, end: Comment) {
    this.#end = end;
  }

  get parentNode(): ParentNode & Node {
    return this.start.parentNode!;
  }
  get ownerDocument(): Document {
    return this.start.ownerDocument;
  }
  get namespaceURI(): string | null {
    return (this.parentNode as Element).namespaceURI;
  }
  get firstChild(): ChildNode | null {
    const first = this.start.nextSibling as ChildNode;
    return first === this.#end ? null : first;
  }
  get childNodes(): ChildNode[] {
    return this.nodes();
  }

  nodes(): ChildNode[] {
    const nodes: ChildNode[] = [];
    let node = this.start.nextSibling as ChildNode | null;
    for (; node && node !== this.#end; node = node.nextSibling) {
      nodes.push(node);
    }
    return nodes;
  }

  contains(node: Node | null): boolean {
    return node !== null && this.nodes().some((own) => own.contains(node));
  }

  insertBefore<T extends Node>(node: T, reference: Node | null): T {
    // Preact steps over comments, and so over the end of the region.
    const isInside = reference !== null &&
      this.nodes().includes(reference as ChildNode);
    return this.parentNode.insertBefore(node, isInside ? reference : this.#end);
  }

  appendChild<T extends Node>(node: T): T {
    return this.parentNode.insertBefore(node, this.#end);
  }

  removeChild<T extends Node>(node: T): T {
    return this.parentNode.removeChild(node);
  }
}
