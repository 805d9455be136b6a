/**
 * `[data-module=live]`: keeps what is shown of devices as it is now, by server-sent events of `/live`.
 *
 * Each `[data-device=ID]` (or the element itself) has parts `[data-live=dot|tag|handshake|received|sent|endpoint|spark]`. Who
 * asks for a device's rates, such as a chart, listens to the event `wirewright:traffic` of its element. It costs what
 * changed: the server tells of the devices shown here only. With `data-counted` their changes of state move the page's counts.
 */

import { failed, Refused, whyRefused } from "./asking.js";
import { moved } from "./counts.js";
import { size } from "./sizes.js";
import { time } from "./times.js";

const SAMPLES = 60;
/** Seconds until a stream that was refused is asked for again, unless the server says when. */
const AGAIN = 10;
const STALE = "What devices do is not followed now, so that this page grows old.";
const WORDS = { online: "online", idle: "offline", off: "cut off", gone: "removed" };

export default function live(root) {
  const shown = new Map();
  const elements = root.matches("[data-device]") ? [root] : root.querySelectorAll("[data-device]");
  for (const element of elements) shown.set(element.dataset.device, { element, rates: [] });
  if (!shown.size) return;
  const query = new URLSearchParams([...shown.keys()].map((id) => ["id", id]));
  let source = null;
  let again = 0;
  let told = "";
  let notice = null;
  const close = () => {
    clearTimeout(again);
    source?.close();
  };
  const open = () => {
    close();
    // A page that nobody sees needs no news.
    if (document.hidden || !root.isConnected) return;
    const opened = (source = new EventSource(`/live?${query}`));
    source.addEventListener("open", () => {
      notice?.remove();
      told = "";
    });
    source.addEventListener("device", (event) => {
      const sight = JSON.parse(event.data);
      const device = shown.get(sight.id);
      if (device) show(root, device, sight);
    });
    // After an answer that is no stream (logged out, too many pages) a browser neither tries again by itself nor says why.
    source.addEventListener("error", async () => {
      if (opened.readyState !== EventSource.CLOSED) return;
      const { words, seconds } = await whyRefused(`/live?${query}`);
      // Meanwhile somebody left the page, and perhaps came back to it.
      if (opened !== source || document.hidden || !root.isConnected) return;
      // Said once: who reads elsewhere on the page is not called back each time.
      if (words && words !== told) notice = failed(new Refused(`${STALE} ${words}`));
      told = words;
      again = setTimeout(open, 1000 * (seconds || AGAIN));
    });
  };
  open();
  const seen = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", seen);
  const over = new MutationObserver(() => {
    if (!root.isConnected) {
      close();
      document.removeEventListener("visibilitychange", seen);
      over.disconnect();
    }
  });
  over.observe(document.body, { childList: true, subtree: true });
}

function show(root, device, sight) {
  const { element } = device;
  const part = (name) => element.querySelector(`[data-live="${name}"]`);
  const dot = part("dot");
  if (dot) {
    if ("counted" in root.dataset && dot.dataset.state !== sight.state) moved(dot.dataset.state, sight.state);
    dot.dataset.state = sight.state;
    dot.title = WORDS[sight.state];
    dot.setAttribute("aria-label", WORDS[sight.state]);
  }
  tag(part("tag"), sight);
  if (sight.state === "gone") {
    element.querySelectorAll("input, button").forEach((each) => (each.disabled = true));
    return;
  }
  if (sight.latest_handshake) handshake(part("handshake"), sight.latest_handshake);
  if (sight.at) {
    put(part("received"), size(sight.received));
    put(part("sent"), size(sight.sent));
    put(part("endpoint"), sight.endpoint || "–");
  }
  remember(device, sight);
  spark(part("spark"), device.rates);
  element.dispatchEvent(new CustomEvent("wirewright:traffic", { detail: device.rates }));
}

/** Why a device is cut off. */
function tag(place, sight) {
  if (!place) return;
  place.hidden = sight.state !== "off" && sight.state !== "gone";
  if (place.hidden) return;
  place.textContent = sight.state === "gone" ? "removed" : sight.enabled ? "expired" : "disabled";
  place.className = sight.enabled ? "tag warn" : "tag bad";
}

function handshake(place, at) {
  if (!place) return;
  const known = place.querySelector("time");
  if (known) time(at, known);
  else place.replaceChildren(time(at));
}

function put(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

/** Rates are [milliseconds since 1970, bytes a second from the device, and to it], the oldest first. */
function remember(device, sight) {
  if (sight.rates) device.rates = sight.rates;
  const last = device.rates.at(-1);
  if (!sight.rates && sight.at && sight.at !== last?.[0]) {
    device.rates.push([sight.at, sight.received_rate, sight.sent_rate]);
    device.rates.splice(0, device.rates.length - SAMPLES);
  }
}

function spark(svg, rates) {
  if (!svg) return;
  const top = Math.max(...rates.map(([, received, sent]) => Math.max(received, sent)), 1);
  const line = (column) =>
    rates.map((rate, index) => `${index + SAMPLES - rates.length},${(19 - (18 * rate[column]) / top).toFixed(1)}`).join(" ");
  for (const [column, kind] of [[1, "received"], [2, "sent"]]) {
    let polyline = svg.querySelector(`.${kind}`);
    if (!polyline) {
      if (rates.length < 2) return;
      polyline = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      polyline.setAttribute("class", kind);
      svg.append(polyline);
    }
    polyline.setAttribute("points", line(column));
  }
  const [, received, sent] = rates.at(-1) ?? [0, 0, 0];
  svg.setAttribute("aria-label", `Traffic now: ${size(received)} a second received, ${size(sent)} sent`);
}
