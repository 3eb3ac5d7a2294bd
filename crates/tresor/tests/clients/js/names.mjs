// Names that no other test uses, and disks' contents.

import { randomBytes } from "node:crypto";

export const LOCATION = "westus";
export const MIB = 1 << 20;
export const UNIT = 64 << 10;

/** A name of its own. */
export function unique(kind) {
  return `${kind}-${randomBytes(5).toString("hex")}`;
}

/** Bytes of a disk: random at both ends, zeros between. */
export function sample(size) {
  const image = Buffer.alloc(size);
  randomBytes(size / 4).copy(image);
  randomBytes(UNIT).copy(image, size - UNIT);
  return image;
}

/** The last part of an id. */
export function nameOf(id) {
  return id.slice(id.lastIndexOf("/") + 1);
}
