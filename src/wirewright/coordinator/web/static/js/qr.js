/** QR codes as SVG: one path, dark on white with a quiet zone, since cameras want it so. */

import { encodeQR } from "../vendor/qr.js";

const SVG = "http://www.w3.org/2000/svg";
/** Modules around the code that the encoder leaves itself, and those that are added (ISO/IEC 18004: four in all). */
const BORDER = 1;
const QUIET = 4 - BORDER;
/** More of the code may be hidden or dirty at the first; long texts fit at the last only. */
const CORRECTIONS = ["quartile", "medium", "low"];
/** Modules of a side up to which phones read a code from a screen without trouble. */
const LARGEST = 77;

/**
 * @param {string} text
 * @returns {SVGSVGElement}
 */
export function qr(text) {
  const modules = encoded(text);
  const size = modules.length + 2 * QUIET;
  let path = "";
  modules.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      let run = 0;
      while (row[x + run]) run += 1;
      if (run) path += `M${x + QUIET} ${y + QUIET}h${run}v1h-${run}z`;
      x += run;
    }
  });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("shape-rendering", "crispEdges");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code");
  const dark = document.createElementNS(SVG, "path");
  dark.setAttribute("d", path);
  dark.setAttribute("fill", "#000");
  svg.append(dark);
  return svg;
}

function encoded(text) {
  for (const ecc of CORRECTIONS) {
    try {
      const modules = encodeQR(text, "raw", { ecc, border: BORDER });
      if (modules.length <= LARGEST + 2 * BORDER || ecc === "low") return modules;
    } catch {
      // It does not fit with so much correction.
    }
  }
  throw new Error("this text is too long for a QR code");
}
