/** `<section data-module="configured" data-tunnel=JSON>`: a configuration without its private key. */

import { failed } from "./asking.js";
import { configuration } from "./configuration.js";
import { copy } from "./made.js";

const PLACE = "(keep the one that the device has)";

export default function configured(section) {
  try {
    const text = configuration(JSON.parse(section.dataset.tunnel), PLACE);
    section.querySelector('[data-part="text"]').textContent = text;
    section.querySelector('[data-part="copy"]').addEventListener("click", (event) => copy(text, event.currentTarget));
  } catch (error) {
    failed(error);
  }
}
