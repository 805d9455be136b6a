/** Times in words that go on: each `time[data-relative]` says how long ago its `datetime` is. */

const STEPS = [
  [60, "s", 1],
  [3600, "min", 60],
  [86_400, "h", 3600],
  [Infinity, "days", 86_400],
];

/** @param {number} at in milliseconds since 1970 */
export function relative(at, now = Date.now()) {
  const seconds = (now - at) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 2) return "now";
  const [, unit, divisor] = STEPS.find(([limit]) => distance < limit);
  const count = seconds > 0 ? Math.floor(distance / divisor) : Math.round(distance / divisor);
  const word = unit === "days" && count === 1 ? "day" : unit;
  return seconds > 0 ? `${count} ${word} ago` : `in ${count} ${word}`;
}

/** Have all times of the page go on. */
export function keepRelative() {
  setInterval(() => document.querySelectorAll("time[data-relative]").forEach(refresh), 1000);
}

/** Make an element that says a time, or put another time into one. */
export function time(at, element = document.createElement("time")) {
  const date = new Date(at);
  element.dateTime = date.toISOString();
  element.title = `${element.dateTime.slice(0, 19).replace("T", " ")} UTC`;
  element.dataset.relative = "";
  refresh(element);
  return element;
}

function refresh(element) {
  const words = relative(Date.parse(element.dateTime));
  if (element.textContent !== words) element.textContent = words;
}
