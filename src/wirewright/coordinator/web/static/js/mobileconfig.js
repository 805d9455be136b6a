/**
 * A configuration profile for macOS and iOS, which installs a tunnel into WireGuard's app.
 *
 * The keys are those of Apple's VPN payload; the app reads the text behind `WgQuickConfig`.
 */

/**
 * @param {string} name of the tunnel
 * @param {string} text its configuration
 * @param {"ios" | "macos"} app for which of the two apps: each takes its own profiles only
 */
export function mobileConfiguration(name, text, app) {
  const endpoint = /^Endpoint = (.*)$/m.exec(text)?.[1] ?? name;
  const identifier = `org.wirewright.${uuid()}`;
  const payload = {
    PayloadDisplayName: "VPN",
    PayloadType: "com.apple.vpn.managed",
    PayloadVersion: 1,
    PayloadIdentifier: `${identifier}.tunnel`,
    PayloadUUID: uuid(),
    UserDefinedName: name,
    VPNType: "VPN",
    VPNSubType: `com.wireguard.${app}`,
    VendorConfig: { WgQuickConfig: text },
    VPN: { RemoteAddress: endpoint, AuthenticationMethod: "Password" },
  };
  const profile = {
    PayloadDisplayName: `WireGuard: ${name}`,
    PayloadType: "Configuration",
    PayloadVersion: 1,
    PayloadIdentifier: identifier,
    PayloadUUID: uuid(),
    PayloadContent: [payload],
  };
  const type = '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">';
  return `<?xml version="1.0" encoding="UTF-8"?>\n${type}\n<plist version="1.0">\n${written(profile)}\n</plist>\n`;
}

function written(value) {
  if (typeof value === "number") return `<integer>${value}</integer>`;
  if (typeof value === "string") return `<string>${escaped(value)}</string>`;
  if (Array.isArray(value)) return `<array>\n${value.map(written).join("\n")}\n</array>`;
  const pairs = Object.entries(value).map(([key, each]) => `<key>${escaped(key)}</key>\n${written(each)}`);
  return `<dict>\n${pairs.join("\n")}\n</dict>`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** `crypto.randomUUID` is there on secure pages only. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5").toUpperCase();
}
