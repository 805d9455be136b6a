/** `<section data-module="copying">`: a button that copies the text beside it. */

import { copy } from "./made.js";

export default function copying(section) {
  const text = section.querySelector('[data-part="text"]').textContent;
  section.querySelector('[data-part="copy"]').addEventListener("click", (event) => copy(text, event.currentTarget));
}
