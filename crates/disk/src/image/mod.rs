//! Formats of disk images: raw files to import from, and the VHD footer.

pub mod raw;
pub mod vhd;
