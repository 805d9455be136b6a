/**
 * Loads what a page needs: for each `[data-module=NAME]` the module NAME.js, whose default export takes the element.
 *
 * Pages work without it, but for what only a browser can do: make keys.
 */

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
keepRelative();
