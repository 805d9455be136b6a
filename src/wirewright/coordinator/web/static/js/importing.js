/**
 * Devices of another provisioner, from its file: a server's wg-quick file, or wg-easy's `wg0.json`.
 *
 * Private keys that stand there are turned into public ones here and forgotten; none is sent.
 */

import { publicKeyOf } from "./keys.js";

const KEY = /^[A-Za-z0-9+/]{43}=$/;

/**
 * @param {string} text the file
 * @returns {Promise<{kind: string, serverPublicKey: ?string, devices: Device[]}>}
 * @typedef {{name: string, publicKey: string, addresses: string[], enabled: boolean, hasPresharedKey: boolean}} Device
 */
export async function readForeign(text) {
  if (text.startsWith("SQLite format 3")) {
    throw new Error("this is the database of wg-easy 15, which is not read here: take its wg0.conf from the container");
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
  for (const [number, full] of text.split(/\r?\n/).entries()) {
    const line = full.replace(/#.*$/, "").trim();
    const remark = /#\s*(.*)$/.exec(full)?.[1] ?? "";
    const head = /^\[(\w+)\]$/.exec(line);
    if (head) {
      sections.push({ kind: head[1].toLowerCase(), name: named(remark) || named(comment), values: {} });
      comment = "";
    } else if (line) {
      const [, key, value] = /^(\w+)\s*=\s*(.*)$/.exec(line) ?? [];
      if (!key || !sections.length) throw new Error(`line ${number + 1} is not of a wg-quick file`);
      const { values } = sections.at(-1);
      values[key.toLowerCase()] = values[key.toLowerCase()] ? `${values[key.toLowerCase()]}, ${value}` : value;
    } else if (remark) {
      const last = sections.at(-1);
      // Names stand before a section or right behind its head, whoever wrote the file.
      if (last && !Object.keys(last.values).length && !last.name) last.name = named(remark);
      else comment = remark;
    }
  }
  const own = sections.find((section) => section.kind === "interface");
  const peers = sections.filter((section) => section.kind === "peer" && KEY.test(section.values.publickey ?? ""));
  const devices = peers.map(({ name, values }, index) => ({
    name: name || `device ${index + 1}`,
    publicKey: values.publickey,
    addresses: listed(values.allowedips).filter(isSingle).map(bare),
    enabled: true,
    hasPresharedKey: Boolean(values.presharedkey),
  }));
  return { kind: "wg-quick", serverPublicKey: await perhaps(own?.values.privatekey), devices };
}

/** Names as wg-easy, PiVPN, wireguard-install and people write them into comments. */
function named(remark) {
  return remark
    .replace(/^[#\s]+|[#\s]+$/g, "")
    .replace(/^(?:begin\s+|(?:name|client|friendly_name)(?:\s*[:=]\s*|\s+))/i, "")
    .replace(/\s*\([0-9a-f-]{36}\)$/, "")
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
