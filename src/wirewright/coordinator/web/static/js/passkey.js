/**
 * `<button data-module="passkey" data-next="/devices">`: logs in by a passkey.
 * `<form data-module="passkey" data-add>` with a field `name`: makes one and adds it to the account.
 *
 * What the server asks for, and what it gets, is the JSON of WebAuthn (level 3, sections 5.1.8 to 5.1.10).
 */

import { failed, Refused, sendJson } from "./asking.js";

export default function passkey(element) {
  if (!globalThis.PublicKeyCredential) {
    const text = document.createElement("p");
    text.className = "quiet";
    text.textContent = "This browser has no passkeys here: they take https.";
    element.replaceWith(text);
    return;
  }
  const adds = "add" in element.dataset;
  element.addEventListener(adds ? "submit" : "click", (event) => {
    event.preventDefault();
    (adds ? add(element) : logIn(element)).then(({ to }) => location.assign(to), told);
  });
}

async function logIn(button) {
  const options = await sendJson("/login/passkey/begin", {});
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: [] };
  const { id, type, rawId, response } = await navigator.credentials.get({ publicKey });
  const answer = {
    id,
    type,
    rawId: text(rawId),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
  return sendJson("/login/passkey", { answer, next: button.dataset.next ?? "/" });
}

async function add(form) {
  const options = await sendJson("/account/passkeys/begin", {});
  const known = (options.excludeCredentials ?? []).map((each) => ({ ...each, id: bytes(each.id) }));
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known,
  };
  const { id, type, rawId, response } = await navigator.credentials.create({ publicKey });
  const answer = {
    id,
    type,
    rawId: text(rawId),
    response: { clientDataJSON: text(response.clientDataJSON), attestationObject: text(response.attestationObject) },
  };
  return sendJson("/account/passkeys", { answer, name: form.elements.name.value });
}

/** Tell what went wrong; who changed their mind is told nothing more. */
function told(error) {
  const words = {
    NotAllowedError: "No passkey was used: it was cancelled, or took too long.",
    InvalidStateError: "This device has a passkey for you here already.",
  };
  failed(words[error.name] ? new Refused(words[error.name]) : error);
}

function bytes(base64url) {
  const plain = base64url.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(plain), (each) => each.charCodeAt(0));
}

function text(buffer) {
  const plain = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return plain.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
