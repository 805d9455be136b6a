/**
 * Proof that this browser has the private key that it enrols, byte for byte as `wirewright.client.proof` makes it.
 *
 * HMAC-SHA256 over what is enrolled, as JSON with sorted keys and no blanks, with a key that HKDF-SHA256 derives from
 * the X25519 secret of our private key and the coordinator's public one.
 */

import { toBase64 } from "./encoding.js";
import { sharedSecret } from "./keys.js";

const INFO = "wirewright enrolment v1";

/**
 * @param {{keys: {privateKey: string, publicKey: string}, coordinator: string, invitation: string, name: string}} said
 *   the coordinator's public key, the public part of the invitation, the device's name
 * @returns {Promise<string>} in base64
 */
export async function enrolmentProof({ keys, coordinator, invitation, name }) {
  if (!crypto.subtle) throw new Error("it has no cryptography on a page without https");
  const encoder = new TextEncoder();
  const message = JSON.stringify({
    client_public_key: keys.publicKey,
    coordinator_public_key: coordinator,
    invitation,
    name,
  });
  const secret = await sharedSecret(keys.privateKey, coordinator);
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  secret.fill(0);
  const derived = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encoder.encode(INFO) };
  const mac = { name: "HMAC", hash: "SHA-256", length: 256 };
  const key = await crypto.subtle.deriveKey(derived, base, mac, false, ["sign"]);
  return toBase64(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(message))));
}
