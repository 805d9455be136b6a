/**
 * X25519 key pairs, made in this browser (RFC 7748). Nothing here sends anything.
 *
 * WebCrypto makes them where it can (https, or localhost; browsers of 2025 on). Elsewhere the packed library does,
 * with randomness of the same source. Both ways give the same results, and a test compares them.
 */

import { fromBase64, toBase64 } from "./encoding.js";

/** PKCS #8 around a raw private key (RFC 8410, section 7): what stands before its 32 bytes. */
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);

let forced = false;

/** Have the library make keys although WebCrypto could: for tests. */
export function forceFallback(on = true) {
  forced = on;
}

/** Whether the library makes keys in this browser. */
export async function usesFallback() {
  return forced || !(await webCryptoCan());
}

/**
 * Make a key pair.
 * @returns {Promise<{privateKey: string, publicKey: string}>} in base64, as WireGuard writes keys
 */
export async function generateKeyPair() {
  const raw = crypto.getRandomValues(new Uint8Array(32));
  // Clamped as `wg genkey` does it, so that the same key is the same text everywhere (RFC 7748, section 5).
  raw[0] &= 248;
  raw[31] = (raw[31] & 127) | 64;
  const privateKey = toBase64(raw);
  const publicKey = toBase64(await publicOf(raw));
  raw.fill(0);
  return { privateKey, publicKey };
}

/** Return the public key of a private one, both in base64. */
export async function publicKeyOf(privateKey) {
  const raw = fromBase64(privateKey);
  if (raw.length !== 32) throw new RangeError("A private key has 32 bytes.");
  const publicKey = toBase64(await publicOf(raw));
  raw.fill(0);
  return publicKey;
}

/**
 * Return the shared secret of a private key and another's public one, both in base64.
 * @returns {Promise<Uint8Array>} 32 bytes; it throws if the other is a point of low order
 */
export async function sharedSecret(privateKey, otherPublicKey) {
  const raw = fromBase64(privateKey);
  try {
    if (await usesFallback()) return (await library()).getSharedSecret(raw, fromBase64(otherPublicKey));
    const own = await importPrivate(raw);
    const other = await crypto.subtle.importKey("raw", fromBase64(otherPublicKey), "X25519", false, []);
    const secret = await crypto.subtle.deriveBits({ name: "X25519", public: other }, own, 256);
    return new Uint8Array(secret);
  } finally {
    raw.fill(0);
  }
}

async function publicOf(raw) {
  if (await usesFallback()) return (await library()).getPublicKey(raw);
  const key = await importPrivate(raw, true);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  return fromBase64(x.replaceAll("-", "+").replaceAll("_", "/") + "=");
}

async function importPrivate(raw, extractable = false) {
  const wrapped = new Uint8Array(PKCS8.length + 32);
  wrapped.set(PKCS8);
  wrapped.set(raw, PKCS8.length);
  try {
    return await crypto.subtle.importKey("pkcs8", wrapped, "X25519", extractable, ["deriveBits"]);
  } finally {
    wrapped.fill(0);
  }
}

let can = null;

function webCryptoCan() {
  can ??= (async () => {
    try {
      await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
      return true;
    } catch {
      return false;
    }
  })();
  return can;
}

async function library() {
  return (await import("../vendor/x25519.js")).x25519;
}
