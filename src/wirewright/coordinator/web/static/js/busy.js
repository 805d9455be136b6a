/**
 * What a form says while it is on its way: its button, at once; and where that takes longer than a moment, words at the
 * top of the page with a bar. `<form data-busy="WORDS">` has words of its own.
 */

/** Milliseconds after which it is told in words. */
const MOMENT = 600;
/** Milliseconds after which it can be sent again: somebody may have stopped it, which nothing tells of. */
const LONG = 15_000;

const onTheirWay = new WeakMap();

/** Whether a form is on its way, so that it must not be sent once more. */
export function isBusy(form) {
  const known = onTheirWay.get(form);
  return known !== undefined && performance.now() - known.since < LONG;
}

/** A form is on its way, by a button of it. */
export function busy(form, button = form.querySelector("button:not([type=button])")) {
  idle(form);
  button?.setAttribute("aria-busy", "true");
  const words = setTimeout(() => tell(form.dataset.busy ?? "This takes a moment …"), MOMENT);
  onTheirWay.set(form, { button, words, since: performance.now() });
}

/** A form has been answered, or was not sent after all. */
export function idle(form) {
  const known = onTheirWay.get(form);
  if (!known) return;
  onTheirWay.delete(form);
  clearTimeout(known.words);
  known.button?.removeAttribute("aria-busy");
  document.querySelector("#notices [data-part=busy]")?.remove();
}

function tell(text) {
  const notice = document.createElement("div");
  notice.className = "notice";
  notice.dataset.part = "busy";
  const words = document.createElement("p");
  words.textContent = text;
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", text);
  notice.append(words, bar);
  document.getElementById("notices")?.replaceChildren(notice);
}
