/**
 * What is shown once: a configuration with the key that was made in this page.
 *
 * `<template id="made">` has the parts: `[data-part=qr|download|copy|ios|macos|zip|text|done]`.
 */

import { archive } from "./archive.js";
import { configuration, fileName } from "./configuration.js";
import { download } from "./download.js";
import { mobileConfiguration } from "./mobileconfig.js";
import { qr } from "./qr.js";

/**
 * Put the configuration in the place of an element.
 * @param {Element} place what is replaced
 * @param {{device: {name: string}, tunnel: object}} made the server's answer
 * @param {string} privateKey in base64
 */
export function show(place, made, privateKey) {
  const fragment = document.getElementById("made").content.cloneNode(true);
  const part = (name) => fragment.querySelector(`[data-part="${name}"]`);
  const text = configuration(made.tunnel, privateKey);
  const name = fileName(made.device.name);
  part("qr").append(qr(text));
  part("text").textContent = text;
  part("download").addEventListener("click", () => download(`${name}.conf`, text));
  for (const app of ["ios", "macos"]) {
    part(app).addEventListener("click", () =>
      download(`${name}.mobileconfig`, mobileConfiguration(made.device.name, text, app), "application/x-apple-aspen-config"),
    );
  }
  part("zip").addEventListener("click", () => download(`${name}.zip`, archive([{ name: `${name}.conf`, text }])));
  part("copy").addEventListener("click", (event) => copy(text, event.currentTarget));
  const done = part("done");
  const warn = (event) => event.preventDefault();
  const taken = () => window.removeEventListener("beforeunload", warn);
  window.addEventListener("beforeunload", warn);
  for (const name of ["download", "ios", "macos", "zip", "copy"]) part(name).addEventListener("click", taken);
  done.addEventListener("click", taken);
  // Who was invited has no page of the device to go to.
  if (made.device.id) done.href = `/devices/${made.device.id}`;
  else done.remove();
  const heading = fragment.querySelector("h2");
  place.replaceWith(fragment);
  heading.focus();
}

/** Copy a text, and say on the button that it was done. */
export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text to copy it";
  }
  setTimeout(() => (button.textContent = before), 2500);
}
