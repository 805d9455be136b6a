/** `<form data-module="import">`: reads another provisioner's file here, shows what is in it, and sends public keys. */

import { failed } from "./asking.js";
import { readForeign } from "./importing.js";

export default function importing(form) {
  const part = (name) => form.querySelector(`[data-part="${name}"]`);
  const button = form.querySelector("button.main");
  const chosen = form.querySelector("input[type=file]");
  const read = async () => {
    button.disabled = true;
    part("found").hidden = true;
    part("none").hidden = false;
    const [file] = chosen.files;
    if (!file) return;
    try {
      const { devices } = await readForeign(await file.text());
      show(part("found"), devices);
      part("none").hidden = true;
      form.elements.devices.value = JSON.stringify(devices.map(sent));
      button.disabled = false;
      button.textContent = devices.length === 1 ? "Bring it along" : `Bring all ${devices.length} along`;
    } catch (error) {
      failed(error);
    }
  };
  chosen.addEventListener("change", read);
  // Somebody may have been quicker than this module.
  if (chosen.files.length) read();
}

/** What leaves this browser of a device. */
function sent({ name, publicKey, addresses, enabled }) {
  return { name: [...name].slice(0, 64).join("").trim() || "device", public_key: publicKey, addresses, enabled };
}

function show(place, devices) {
  const list = document.createElement("ul");
  for (const device of devices) {
    const item = document.createElement("li");
    const notes = [device.addresses.join(", ") || "no address", !device.enabled && "disabled", device.hasPresharedKey && "had a preshared key"];
    item.textContent = `${device.name}: ${notes.filter(Boolean).join(", ")}`;
    list.append(item);
  }
  place.replaceChildren(list);
  place.hidden = false;
}
