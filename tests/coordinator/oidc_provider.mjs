// A provider of identities for tests (npm's oidc-provider), on a free port of this machine.
// `node oidc_provider.mjs FOLDER-WITH-node_modules SETTINGS-AS-JSON` prints its issuer.
// Whoever logs in says who they are; accounts are in the settings: {clients: [...], accounts: {sub: claims}}.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/package.json`);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const { clients, accounts } = JSON.parse(process.argv[3]);

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username", "name", "groups"] },
    pkce: { required: () => true },
    findAccount: (_context, sub) =>
      accounts[sub] && { accountId: sub, claims: async () => ({ sub, ...accounts[sub] }) },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
