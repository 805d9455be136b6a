/** `[data-module=chart]`: a device's rates of the last minutes, fed by the `live` module of the same device. */

import UPlot from "../vendor/uplot.js";
import { size } from "./sizes.js";

const HEIGHT = 200;

export default function chart(place) {
  const device = place.closest("[data-module=live]");
  const words = document.createElement("p");
  words.className = "quiet small";
  words.textContent = "What it transfers is drawn here as it happens.";
  place.append(words);
  let plot = null;
  const draw = (rates) => {
    const data = [rates.map(([at]) => at / 1000), rates.map(([, received]) => received), rates.map(([, , sent]) => sent)];
    if (plot) plot.setData(data);
    else if (rates.length > 1) {
      words.remove();
      plot = new UPlot(options(place), data, place);
    }
  };
  device.addEventListener("wirewright:traffic", (event) => draw(event.detail));
  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  // Colours of a canvas do not follow those of the page by themselves.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot?.redraw());
}

function options(place) {
  const colour = (name) => () => getComputedStyle(place).getPropertyValue(name);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const rate = (value) => (value === null ? "–" : `${size(value)}/s`);
  return {
    width: place.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [axis, { ...axis, size: 70, values: (_plot, values) => values.map(rate) }],
    series: [
      { value: (_plot, at) => (at === null ? "–" : new Date(at * 1000).toLocaleTimeString()) },
      { label: "received from it", stroke: colour("--accent"), width: 2, value: (_plot, value) => rate(value) },
      { label: "sent to it", stroke: colour("--muted"), width: 2, value: (_plot, value) => rate(value) },
    ],
  };
}
