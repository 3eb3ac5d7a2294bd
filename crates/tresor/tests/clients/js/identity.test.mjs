// Sign-in by @azure/identity.

import assert from "node:assert/strict";
import test from "node:test";

import { all, clients, credential, scope, settings } from "./sdk.mjs";

/** The claims of a token. */
function claims(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString("utf8"));
}

test("by the tenant's own authority, without instance discovery", async () => {
  const { token, expiresOnTimestamp } = await credential().getToken(scope);
  assert.equal(claims(token).tid, settings.TENANT_ID);
  assert.ok(expiresOnTimestamp > Date.now());
  await all(clients(credential()).resources.resourceGroups.list());
});

test("by the tenant adfs, without any setting", async () => {
  const who = credential({ tenant: "adfs", disableInstanceDiscovery: undefined });
  const { token } = await who.getToken(scope);
  assert.equal(claims(token).appid, settings.CLIENT_ID);
  await all(clients(who).resources.resourceGroups.list());
});

test("the scopes that clients ask for", async () => {
  for (const wanted of [scope, "https://management.azure.com/.default"]) {
    assert.ok((await credential().getToken(wanted)).token, wanted);
  }
});

test("a wrong secret is shown", async () => {
  await assert.rejects(credential({ secret: "wrong" }).getToken(scope), /AADSTS7000215/);
});
