/**
 * Loads what a page needs: for each `[data-module=NAME]` the module NAME.js, whose default export takes the element.
 *
 * Pages work without it, but for what only a browser can do: make keys. Forms with `hx-boost` are sent by htmx, so that
 * what was typed stays where it is if they are refused.
 */

import { failed, Refused, UNREACHABLE } from "./asking.js";
import { busy, idle, isBusy } from "./busy.js";
import { keepRelative } from "./times.js";

/** An invitation that came with the address of the start: it is for the page that takes it. */
if (/^#wwi_[a-z2-7_]+$/.test(location.hash) && location.pathname !== "/join") {
  location.replace(`/join${location.hash}`);
}

function load(root) {
  const found = [...root.querySelectorAll("[data-module]")];
  if (root instanceof Element && root.matches("[data-module]")) found.unshift(root);
  for (const element of found) {
    if (element.dataset.loaded) continue;
    element.dataset.loaded = "yes";
    import(`./${element.dataset.module}.js`).then(
      (module) => module.default(element),
      (error) => console.error(error),
    );
  }
}

load(document);
document.body.addEventListener("htmx:load", (event) => load(event.detail.elt));

// Before anybody else hears of it: what is on its way is not sent twice.
document.addEventListener(
  "submit",
  (event) => {
    if (!isBusy(event.target)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  true,
);
// After all others: what a script sends by itself is that script's to tell of.
document.addEventListener("submit", (event) => {
  if (!event.defaultPrevented && event.target.method === "post") busy(event.target, event.submitter ?? undefined);
});
// Whoever is asked whether to leave, and stays, goes on where they were.
window.addEventListener("beforeunload", (event) => setTimeout(() => event.defaultPrevented && allIdle()));
// Whoever comes back by the browser's button finds the page as it was left.
window.addEventListener("pageshow", allIdle);
document.body.addEventListener("htmx:beforeRequest", ({ target }) => target instanceof HTMLFormElement && busy(target));
// By then the form may stand in no page any more, and what it is told reaches the body alone.
document.body.addEventListener("htmx:afterRequest", ({ detail }) => idle(detail.requestConfig.elt));
document.body.addEventListener("htmx:sendError", () => failed(new Refused(UNREACHABLE)));
document.body.addEventListener("htmx:responseError", () => {
  // htmx puts the words there a moment later.
  setTimeout(() => document.getElementById("notices")?.scrollIntoView({ block: "nearest" }));
});
keepRelative();

function allIdle() {
  document.querySelectorAll("form").forEach(idle);
}
