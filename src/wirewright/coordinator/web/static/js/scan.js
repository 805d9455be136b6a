/** `<section data-module="scan">`: the text of a part as a code to scan. */

import { qr } from "./qr.js";

export default function scan(section) {
  section.querySelector('[data-part="qr"]').append(qr(section.querySelector('[data-part="text"]').textContent));
}
