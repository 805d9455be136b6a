/**
 * `<form data-module="create">`: makes the key pair here, sends the public half, and shows the configuration.
 *
 * A public key that was typed in leaves the form as it is: the device has its own private key. The button waits for
 * this module, since before it nobody could make a key.
 */

import { failed, send } from "./asking.js";
import { busy, idle } from "./busy.js";
import { generateKeyPair } from "./keys.js";
import { show } from "./made.js";

export default function create(form) {
  const button = form.querySelector("button.main");
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.public_key.value.trim()) return;
    event.preventDefault();
    busy(form);
    try {
      const keys = await generateKeyPair();
      const fields = new URLSearchParams(new FormData(form));
      fields.set("public_key", keys.publicKey);
      const made = await send(form.action, fields);
      document.querySelector("h1").textContent = made.device.name;
      idle(form);
      show(form, made, keys.privateKey);
    } catch (error) {
      idle(form);
      failed(error);
    }
  });
}
