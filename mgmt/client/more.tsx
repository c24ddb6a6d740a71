import type { ComponentChildren } from "preact";

interface MoreProps {
  title: string;
  errors: Record<string, string>;
  /** What the names of its fields begin with: where one is wrong, it is shown. */
  fields: string | readonly string[];
  children: ComponentChildren;
}

/** What most people leave as it is. */
export function More({ title, errors, fields, children }: MoreProps) {
  const prefixes = [fields].flat();
  const isWrong = Object.keys(errors).some((it) => prefixes.some((one) => it.startsWith(one)));
  return (
    <details class="more" open={isWrong || undefined}>
      <summary>{title}</summary>
      {children}
    </details>
  );
}
