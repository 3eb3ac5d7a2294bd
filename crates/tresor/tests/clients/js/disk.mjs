// Disks through arm-compute and their bytes through storage-blob.

import { AnonymousCredential, PageBlobClient } from "./sdk.mjs";
import { LOCATION, MIB, unique } from "./names.mjs";

const HOUR = 3600;

/** The clients of one test. */
export class Disks {
  constructor(compute) {
    this.compute = compute;
  }

  /** A page blob client on the signed URL of a disk or (`kind` "snapshots") a snapshot. */
  async open(group, name, access = "Read", kind = "disks") {
    const granted = await this.compute[kind].grantAccess(group, name, {
      access, durationInSeconds: HOUR,
    });
    this.sas = granted.accessSAS;
    return new PageBlobClient(granted.accessSAS, new AnonymousCredential());
  }

  async close(group, name, kind = "disks") {
    await this.compute[kind].revokeAccess(group, name);
  }

  /** Uploads a disk, the pages that are not zero; its resource. */
  async upload(group, image) {
    const name = unique("disk");
    const made = await this.compute.disks.createOrUpdate(group, name, {
      location: LOCATION, sku: { name: "Standard_LRS" },
      creationData: { createOption: "Upload", uploadSizeBytes: image.length + 512 },
    });
    const blob = await this.open(group, name, "Write");
    for (let at = 0; at < image.length; at += MIB) {
      const page = image.subarray(at, at + MIB);
      if (page.some((byte) => byte !== 0)) await blob.uploadPages(page, at, page.length);
    }
    await this.close(group, name);
    return made;
  }

  /** All bytes, without the footer of the VHD. */
  async download(group, name, kind = "disks") {
    const blob = await this.open(group, name, "Read", kind);
    const whole = await blob.downloadToBuffer(0, undefined, { blockSize: MIB, concurrency: 4 });
    await this.close(group, name, kind);
    return whole.subarray(0, whole.length - 512);
  }
}
