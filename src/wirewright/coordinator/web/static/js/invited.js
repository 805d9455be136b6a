/** `<section data-module="invited">`: copies the link, and shows it as a code to scan. */

import { copy } from "./made.js";
import { qr } from "./qr.js";

export default function invited(section) {
  const part = (name) => section.querySelector(`[data-part="${name}"]`);
  const url = part("url").textContent;
  part("copy").addEventListener("click", (event) => copy(url, event.currentTarget));
  part("qr").append(qr(url));
  part("qr").hidden = false;
}
