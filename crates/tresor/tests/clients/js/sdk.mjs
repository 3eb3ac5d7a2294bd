// The Azure SDKs, from the folder where they are installed (never into the checkout), and clients
// of them that point at the service.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.CLIENT_TEST_NODE ?? ".", "package.json"));
const { AuthorizationManagementClient } = require("@azure/arm-authorization");
const { ComputeManagementClient } = require("@azure/arm-compute");
const { ResourceManagementClient } = require("@azure/arm-resources");
const identity = require("@azure/identity");

export const { PageBlobClient, AnonymousCredential } = require("@azure/storage-blob");
export const { ServiceClient, createSerializer } = require("@azure/core-client");
export const { createHttpPoller } = require("@azure/core-lro");
export const { ManagedIdentityCredential } = identity;

/** What `tresor env` printed. */
export const settings = Object.fromEntries(
  ["BASE_URL", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SUBSCRIPTION_ID"].map((name) => [
    name, process.env[name],
  ]),
);
export const base = settings.BASE_URL.replace(/\/$/, "");
export const scope = `${base}/.default`;
export const subscription = `/subscriptions/${settings.SUBSCRIPTION_ID}`;

/** A credential of the owner; by the authority of its tenant unless told otherwise. */
export function credential({ tenant = settings.TENANT_ID, secret, ...options } = {}) {
  return new identity.ClientSecretCredential(
    tenant, settings.CLIENT_ID, secret ?? settings.CLIENT_SECRET,
    { authorityHost: base, disableInstanceDiscovery: tenant !== "adfs", ...options },
  );
}

/** The three management clients. */
export function clients(who) {
  const options = { endpoint: base, credentialScopes: [scope] };
  const id = settings.SUBSCRIPTION_ID;
  return {
    resources: new ResourceManagementClient(who, id, options),
    compute: new ComputeManagementClient(who, id, { ...options, credentials: { scopes: [scope] } }),
    roles: new AuthorizationManagementClient(who, id, options),
  };
}

/** All items of an iterator of pages. */
export async function all(pages) {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
}
