/** Rows as aligned columns; the last column is as long as it is. */
export function table(rows: string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, printable(cell).length));
  }
  return rows.map((row) =>
    row.map((cell, i) => printable(cell).padEnd(i === row.length - 1 ? 0 : widths[i])).join("  ")
      .trimEnd() + "\n"
  ).join("");
}

/** What a guest's error says must not move the cursor of the terminal that shows it. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ");
}
