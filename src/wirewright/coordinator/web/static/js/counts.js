/**
 * `[data-module=counts]`: how many devices there are like those looked for, `{all: …, online: …, …}` in `data-counts`, when
 * the list was loaded. Those that are shown are followed; the others are counted again with the next list.
 *
 * Each `[data-count=NAME]` of the page shows one of the numbers, behind its `data-name` if it has one.
 */

let counts = null;

export default function fromPage(root) {
  show(JSON.parse(root.dataset.counts));
}

/** Take into account that a device is in another state: `online`, `idle` (which is offline), or another. */
export function moved(before, after) {
  if (!counts) return;
  const by = (state) => (after === state) - (before === state);
  show({ ...counts, online: counts.online + by("online"), offline: counts.offline + by("idle") });
}

function show(found) {
  counts = found;
  for (const each of document.querySelectorAll("[data-count]")) {
    const { count, name } = each.dataset;
    const text = name ? `${name} (${counts[count]})` : `${counts[count]}`;
    if (counts[count] !== undefined && each.textContent !== text) each.textContent = text;
  }
}
