/** What differs between two texts, line by line. */

export type Line = ["+" | "-" | " ", string];
const MOST = 500;

/** The lines of both, in order: those of the first only with `-`, those of the second only with `+`. Very long texts are shown one after the other. */
export function linesBetween(first: string, second: string): Line[] {
  const [one, other] = [first, second].map((text) => (text ? text.split("\n") : [])) as [string[], string[]];
  if (one.length > MOST || other.length > MOST) return [...one.map((line): Line => ["-", line]), ...other.map((line): Line => ["+", line])];
  const common = lengths(one, other);
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) [lines[lines.length], i, j] = [[" ", one[i] ?? ""], i + 1, j + 1];
    else if (j >= other.length || (i < one.length && (common[i + 1]?.[j] ?? 0) >= (common[i]?.[j + 1] ?? 0))) lines.push(["-", one[i++] ?? ""]);
    else lines.push(["+", other[j++] ?? ""]);
  }
  return lines;
}

/** How many lines the rests of both have in common, from each place on. */
function lengths(one: string[], other: string[]): number[][] {
  const found = Array.from({ length: one.length + 1 }, () => new Array<number>(other.length + 1).fill(0));
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      const same = one[i] === other[j];
      found[i]![j] = same ? (found[i + 1]?.[j + 1] ?? 0) + 1 : Math.max(found[i + 1]?.[j] ?? 0, found[i]?.[j + 1] ?? 0);
    }
  }
  return found;
}
