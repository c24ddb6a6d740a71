/**
 * Text that is safe on a terminal and as wide as it has characters.
 *
 * @module
 */

/**
 * What every console's font has, one cell each: ASCII and Latin-1, without controls and the soft
 * hyphen. All else, which could move the cursor or take two cells or none, is a question mark.
 */
export function printable(text: string): string {
  return text.replace(/\s/gu, " ").replace(/[^\x20-\x7e\xa0-\xac\xae-\xff]/gu, "?");
}

/** No wider than `width`; what is cut off ends in "...", where there is room for that. */
export function fit(text: string, width: number): string {
  const clean = printable(text);
  if (clean.length <= width) return clean;
  return width > 3 ? `${clean.slice(0, width - 3)}...` : clean.slice(0, Math.max(0, width));
}

/** Exactly as wide as `width`. */
export function pad(text: string, width: number): string {
  return fit(text, width).padEnd(width);
}

/** Lines no wider than `width`, broken between words where that can be. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of printable(text).split(/ +/)) {
    for (let at = 0; at < word.length; at += width) {
      const part = word.slice(at, at + width);
      const line = lines[lines.length - 1];
      if (line === "") lines[lines.length - 1] = part;
      else if (line.length + 1 + part.length <= width) lines[lines.length - 1] += ` ${part}`;
      else lines.push(part);
    }
  }
  return lines;
}

/** 1536 MiB is "1.5 GiB". */
export function size(mib: number): string {
  const [value, unit] = mib >= 1024 * 1024
    ? [mib / 1024 / 1024, "TiB"]
    : mib >= 1024
    ? [mib / 1024, "GiB"]
    : [mib, "MiB"];
  return `${
    value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)
  } ${unit}`;
}

/** The two largest units of a span of seconds, such as "3 d 4 h". */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return "less than a minute";
  return parts.slice(first, first + 2).map(([value, unit]) => `${value} ${unit}`).join(" ");
}
