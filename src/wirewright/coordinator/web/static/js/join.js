/**
 * `<form data-module="join">`: takes the invitation behind the `#`, makes the key, proves to have it, and enrols.
 *
 * The invitation leaves the address bar at once, so that it is not in the history for the next person.
 */

import { failed, get, sendJson } from "./asking.js";
import { busy, idle } from "./busy.js";
import { generateKeyPair } from "./keys.js";
import { show } from "./made.js";
import { enrolmentProof } from "./proof.js";

const INVITATION = /^#(wwi_([a-z2-7]{16})_[a-z2-7]{32})$/;

export default function join(form) {
  const match = INVITATION.exec(location.hash);
  if (!match) {
    document.querySelector('[data-part="no-invitation"]').hidden = false;
    return;
  }
  const [, invitation, publicId] = match;
  history.replaceState(null, "", location.pathname);
  form.hidden = false;
  form.elements.name.focus();
  let keys = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    busy(form);
    try {
      // The same key when it is tried again: the coordinator knows it, and gives no second device.
      keys ??= await generateKeyPair();
      const name = form.elements.name.value.trim();
      const { public_key: coordinator } = await get("/api/v1/enrolment");
      const proof = await enrolmentProof({ keys, coordinator, invitation: publicId, name });
      const made = await sendJson("/api/v1/enrolment", { invitation, public_key: keys.publicKey, name, proof });
      document.querySelector("h1").textContent = "Your tunnel is ready";
      made.device.id = null;
      idle(form);
      show(form, made, keys.privateKey);
    } catch (error) {
      idle(form);
      failed(error);
    }
  });
}
