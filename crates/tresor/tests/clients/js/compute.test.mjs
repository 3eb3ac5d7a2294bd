// Disks and snapshots by @azure/arm-compute, their bytes by @azure/storage-blob.

import assert from "node:assert/strict";
import test, { before } from "node:test";

import { all, clients, credential } from "./sdk.mjs";
import { Disks } from "./disk.mjs";
import { LOCATION, MIB, UNIT, sample, unique } from "./names.mjs";

const { resources, compute } = clients(credential());
const disks = new Disks(compute);
const group = unique("rg");

before(() => resources.resourceGroups.createOrUpdate(group, { location: LOCATION }));

/** An incremental snapshot of a disk; its name. */
async function snapshot(disk) {
  const name = unique("snap");
  const made = await compute.snapshots.createOrUpdate(group, name, {
    location: LOCATION, incremental: true,
    creationData: { createOption: "Copy", sourceResourceId: disk.id },
  });
  assert.equal(made.provisioningState, "Succeeded");
  return name;
}

test("the life of a disk", async () => {
  const name = unique("disk");
  const made = await compute.disks.createOrUpdate(group, name, {
    location: LOCATION, diskSizeGB: 1, creationData: { createOption: "Empty" },
  });
  assert.equal(made.diskSizeBytes, 1 << 30);
  const changed = await compute.disks.update(group, name, { diskSizeGB: 2, tags: { a: "1" } });
  assert.deepEqual([changed.diskSizeGB, changed.tags], [2, { a: "1" }]);
  assert.equal((await compute.disks.get(group, name)).name, name);
  const lists = [compute.disks.list(), compute.disks.listByResourceGroup(group)];
  for (const list of lists) assert.ok((await all(list)).some((disk) => disk.name === name));
  await compute.disks.delete(group, name);
  await assert.rejects(compute.disks.get(group, name), (error) => error.statusCode === 404);
});

test("bytes come back as they were sent", async () => {
  const image = sample(4 * MIB);
  const disk = await disks.upload(group, image);
  const blob = await disks.open(group, disk.name);
  assert.equal((await blob.getProperties()).contentLength, image.length + 512);
  const { pageRange } = await blob.getPageRanges(0, image.length + 512);
  const covered = pageRange.reduce((sum, range) => sum + range.count + 1, 0);
  assert.ok(covered >= image.length / 4 + UNIT && covered < image.length, `${covered}`);
  await disks.close(group, disk.name);
  assert.ok((await disks.download(group, disk.name)).equals(image));
});

test("the difference of two snapshots", async () => {
  const image = sample(4 * MIB);
  const disk = await disks.upload(group, image);
  const older = await snapshot(disk);
  const writer = await disks.open(group, disk.name, "Write");
  const changed = Buffer.alloc(UNIT, 0x42);
  await writer.uploadPages(changed, 2 * MIB, UNIT);
  await writer.clearPages(0, UNIT);
  await disks.close(group, disk.name);
  const newer = await snapshot(disk);
  await disks.open(group, older, "Read", "snapshots");
  const olderUrl = disks.sas;
  const blob = await disks.open(group, newer, "Read", "snapshots");
  const size = image.length + 512;
  const found = await blob.getPageRangesDiffForManagedDisks(0, size, olderUrl);
  assert.ok(covers(found.pageRange, 2 * MIB, UNIT), JSON.stringify(found.pageRange));
  assert.ok(covers([...found.pageRange, ...found.clearRange], 0, UNIT));
  assert.ok(!covers(found.pageRange, 3 * MIB, UNIT), "what did not change is not named");
  for (const name of [older, newer]) await disks.close(group, name, "snapshots");
  assert.ok((await disks.download(group, older, "snapshots")).equals(image));
  changed.copy(image, 2 * MIB);
  image.fill(0, 0, UNIT);
  assert.ok((await disks.download(group, newer, "snapshots")).equals(image));
});

/** Whether ranges cover so many bytes from there on. The SDK's `count` is the last byte's place
 * less the first one's, so it is one too small. */
function covers(ranges, offset, count) {
  let at = offset;
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) {
    if (range.offset <= at) at = Math.max(at, range.offset + range.count + 1);
  }
  return at >= offset + count;
}

test("the life of a snapshot", async () => {
  const disk = await compute.disks.createOrUpdate(group, unique("disk"), {
    location: LOCATION, diskSizeGB: 1, creationData: { createOption: "Empty" },
  });
  const name = await snapshot(disk);
  const changed = await compute.snapshots.update(group, name, { tags: { a: "1" } });
  assert.deepEqual(changed.tags, { a: "1" });
  assert.equal((await compute.snapshots.get(group, name)).incremental, true);
  const lists = [compute.snapshots.list(), compute.snapshots.listByResourceGroup(group)];
  for (const list of lists) assert.ok((await all(list)).some((found) => found.name === name));
  await compute.snapshots.delete(group, name);
  await assert.rejects(compute.snapshots.get(group, name), (error) => error.statusCode === 404);
});
