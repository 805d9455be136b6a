/**
 * Devices of another provisioner, from its file: a server's wg-quick file, or wg-easy's `wg0.json`.
 *
 * Private keys that stand there are turned into public ones here and forgotten; none is sent.
 */

import { publicKeyOf } from "./keys.js";

const KEY = /^[A-Za-z0-9+/]{43}=$/;
/** What stands behind a peer in files of PiVPN and of Nyr's installer. */
const END = /^#*\s*end(?:_peer\s|\s.*###$)/i;
/** A line that somebody took out is no name. */
const KEY_OF_A_PEER = /^#*\s*(?:PublicKey|PresharedKey|AllowedIPs|Endpoint|PersistentKeepalive)\s*=/i;

/**
 * @param {string} text the file
 * @returns {Promise<{kind: string, serverPublicKey: ?string, devices: Device[]}>}
 * @typedef {{name: string, publicKey: string, addresses: string[], enabled: boolean, hasPresharedKey: boolean}} Device
 */
export async function readForeign(text) {
  if (text.startsWith("SQLite format 3")) {
    throw new Error("this is the database of wg-easy 15, which is not read here: take its wg0.conf from the container: docker cp wg-easy:/etc/wireguard/wg0.conf .");
  }
  const plain = text.replace(/^\uFEFF/, "").trim();
  const found = plain.startsWith("{") ? await readWgEasy(plain) : await readWgQuick(plain);
  if (!found.devices.length) throw new Error("there is no peer in this file");
  return found;
}

async function readWgEasy(text) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    // What the browser says of it quotes the text, which has keys in it.
    throw new Error("this is no JSON, though it begins as wg-easy's backup does");
  }
  const clients = data?.clients;
  if (!clients || typeof clients !== "object") throw new Error("this is no backup of wg-easy: it has no clients");
  const devices = [];
  for (const client of Object.values(clients)) {
    if (!client || typeof client !== "object") throw new Error("a client in this file is none");
    const publicKey = KEY.test(client.publicKey ?? "") ? client.publicKey : await derived(client.privateKey);
    devices.push({
      name: String(client.name ?? "device"),
      publicKey,
      addresses: [client.address, client.ipv4Address, client.ipv6Address].filter(Boolean).map(bare),
      enabled: client.enabled !== false,
      hasPresharedKey: Boolean(client.preSharedKey),
    });
  }
  const server = data.server ?? {};
  const serverPublicKey = KEY.test(server.publicKey ?? "") ? server.publicKey : await perhaps(server.privateKey);
  return { kind: "wg-easy", serverPublicKey, devices };
}

async function readWgQuick(text) {
  const sections = [];
  let comment = "";
  for (const [number, written] of text.split(/\r?\n/).entries()) {
    // PiVPN cuts a client off by this before each line of it.
    const full = written.replace(/^#\[disabled\] ?/, "");
    const line = full.replace(/#.*$/, "").trim();
    const remark = /#\s*(.*)$/.exec(full)?.[1] ?? "";
    const head = /^\[(\w+)\]$/.exec(line);
    if (head) {
      sections.push({ kind: head[1].toLowerCase(), name: named(remark) || named(comment), values: {}, enabled: full === written });
      comment = "";
    } else if (line) {
      const [, key, value] = /^(\w+)\s*=\s*(.*)$/.exec(line) ?? [];
      if (!key || !sections.length) throw new Error(`line ${number + 1} is not of a wg-quick file`);
      const { values } = sections.at(-1);
      values[key.toLowerCase()] = values[key.toLowerCase()] ? `${values[key.toLowerCase()]}, ${value}` : value;
    } else if (END.test(remark)) {
      comment = "";
    } else if (remark) {
      const last = sections.at(-1);
      // Names stand before a section or right behind its head, whoever wrote the file.
      if (last && !Object.keys(last.values).length && !last.name) last.name = named(remark);
      else comment = remark;
    }
  }
  const own = sections.find((section) => section.kind === "interface");
  const peers = sections.filter((section) => section.kind === "peer" && KEY.test(section.values.publickey ?? ""));
  const devices = peers.map(({ name, values, enabled }, index) => ({
    name: name || `device ${index + 1}`,
    publicKey: values.publickey,
    addresses: listed(values.allowedips).filter(isSingle).map(bare),
    enabled,
    hasPresharedKey: Boolean(values.presharedkey),
  }));
  return { kind: "wg-quick", serverPublicKey: await perhaps(own?.values.privatekey), devices };
}

/**
 * Names as people and other provisioners write them into comments: wg-easy `Client: NAME (ID)`, PiVPN `## begin NAME ###`,
 * Nyr's installer `BEGIN_PEER NAME`, angristan's `## Client NAME`.
 */
function named(remark) {
  if (KEY_OF_A_PEER.test(remark)) return "";
  const plain = remark.replace(/^[#\s]+|[#\s]+$/g, "");
  // Version 15 of wg-easy numbers its clients; a number that people write may be part of a name.
  const name = /^client:/i.test(plain) ? plain.replace(/\s*\((?:\d+|[0-9a-f-]{36})\)$/, "") : plain;
  return name
    .replace(/^(?:begin(?:_peer)?\s+|(?:name|client|friendly_name)(?:\s*[:=]\s*|\s+))/i, "")
    .slice(0, 64)
    .trim();
}

const listed = (text) => (text ?? "").split(",").map((each) => each.trim()).filter(Boolean);
const isSingle = (network) => !network.includes("/") || network.endsWith(network.includes(":") ? "/128" : "/32");
const bare = (address) => String(address).split("/")[0];

async function derived(privateKey) {
  if (!KEY.test(privateKey ?? "")) throw new Error("a client in this file has no key");
  return publicKeyOf(privateKey);
}

async function perhaps(privateKey) {
  return KEY.test(privateKey ?? "") ? publicKeyOf(privateKey) : null;
}
