/** Several files as one: a zip, made in this browser. */

import { zipSync } from "../vendor/fflate.js";

/**
 * @param {{name: string, text: string}[]} files
 * @returns {Uint8Array}
 */
export function archive(files) {
  const encoder = new TextEncoder();
  return zipSync(Object.fromEntries(files.map(({ name, text }) => [name, encoder.encode(text)])));
}
