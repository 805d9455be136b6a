/** A wg-quick file from what the server says of a tunnel, with the key that only this browser has. */

/** Seconds: shorter than what address translators on the way remember. */
const KEEPALIVE = 25;
/** Linux takes no longer name of an interface, and apps name the interface after the file. */
const LONGEST_NAME = 15;

/**
 * @param {{addresses: string[], gateway_public_key: ?string, endpoint: string, dns: string[], mtu: ?number}} tunnel
 *   as the API gives it
 * @param {string} privateKey in base64
 */
export function configuration(tunnel, privateKey) {
  if (!tunnel.gateway_public_key) {
    throw new Error("the gateway has never run, so that its key is unknown: start it, then add the device");
  }
  const versions = new Set(tunnel.addresses.map((address) => (address.includes(":") ? 6 : 4)));
  const everything = [versions.has(4) && "0.0.0.0/0", versions.has(6) && "::/0"].filter(Boolean);
  // Who has no address yet asks for one, of either family, at the gateway's address for that.
  const allowed = versions.size ? everything : ["fe80::/128", "0.0.0.0/0", "::/0"];
  const lines = ["[Interface]", `PrivateKey = ${privateKey}`];
  if (tunnel.addresses.length) lines.push(`Address = ${tunnel.addresses.join(", ")}`);
  if (tunnel.dns.length) lines.push(`DNS = ${tunnel.dns.join(", ")}`);
  if (tunnel.mtu) lines.push(`MTU = ${tunnel.mtu}`);
  lines.push("", "[Peer]", `PublicKey = ${tunnel.gateway_public_key}`);
  lines.push(`AllowedIPs = ${allowed.join(", ")}`, `Endpoint = ${tunnel.endpoint}`);
  lines.push(`PersistentKeepalive = ${KEEPALIVE}`, "");
  return lines.join("\n");
}

/** Return a name for the file of a device, without `.conf`. */
export function fileName(name) {
  const plain = name
    .normalize("NFKD")
    .replace(/[^a-zA-Z0-9_=+.-]+/g, "-")
    .replace(/^[-.]+/, "")
    .slice(0, LONGEST_NAME)
    .replace(/[-.]+$/, "");
  return plain || "wirewright";
}
