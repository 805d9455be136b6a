/** Bytes in words, in steps of a thousand. */

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

export function size(number) {
  let value = number;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 99.5 ? 0 : 1)} ${UNITS[unit]}`;
}
