// Groups and providers by @azure/arm-resources.

import assert from "node:assert/strict";
import test from "node:test";

import { all, clients, credential, subscription } from "./sdk.mjs";
import { LOCATION, unique } from "./names.mjs";

const { resources } = clients(credential());

test("the life of a group", async () => {
  const groups = resources.resourceGroups;
  const name = unique("rg");
  assert.equal((await groups.checkExistence(name)).body, false);
  const made = await groups.createOrUpdate(name, { location: LOCATION, tags: { a: "1" } });
  assert.equal(made.id, `${subscription}/resourceGroups/${name}`);
  assert.equal((await groups.checkExistence(name)).body, true);
  assert.deepEqual((await groups.update(name, { tags: { b: "2" } })).tags, { b: "2" });
  assert.equal((await groups.get(name)).location, LOCATION);
  assert.ok((await all(groups.list())).some((group) => group.name === name));
  assert.deepEqual(await all(resources.resources.listByResourceGroup(name)), []);
  await groups.beginDeleteAndWait(name);
  await assert.rejects(groups.get(name), (error) => error.code === "ResourceGroupNotFound");
});

test("providers are registered", async () => {
  for (const name of ["Microsoft.Compute", "Microsoft.DataProtection"]) {
    assert.equal((await resources.providers.get(name)).registrationState, "Registered");
    assert.equal((await resources.providers.register(name)).namespace, name);
  }
  const listed = (await all(resources.providers.list())).map((found) => found.namespace);
  assert.ok(listed.includes("Microsoft.DataProtection"));
  assert.ok(Array.isArray(await all(resources.resources.list())));
});
