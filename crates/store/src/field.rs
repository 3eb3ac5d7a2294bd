//! Little-endian fields of binary records, read without ever trusting a length.

use std::ops::Range;

use crate::error::{Error, Result};

/// A cursor over the bytes of a record. Each read fails once the bytes are used up.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the first byte of a record; `what` names it in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// The next two bytes.
    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Fails unless the next bytes are `magic`.
    pub(crate) fn magic(&mut self, magic: &[u8; 8]) -> Result<()> {
        if &self.array::<8>()? == magic {
            return Ok(());
        }
        Err(Error::corrupt(format!("{} does not begin with its magic", self.what)))
    }

    /// Bytes not read yet.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Fails if bytes are left over.
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt(format!("{} has {} bytes too many", self.what, self.rest.len())))
    }

    fn short(&self) -> Error {
        Error::corrupt(format!("{} is truncated", self.what))
    }
}

/// `bytes[range]`, as an error instead of a panic.
pub(crate) fn part(bytes: &[u8], range: Range<usize>) -> Result<&[u8]> {
    bytes.get(range).ok_or_else(|| Error::internal("a slice lies outside its buffer"))
}

/// `bytes[range]`, mutable, as an error instead of a panic.
pub(crate) fn part_mut(bytes: &mut [u8], range: Range<usize>) -> Result<&mut [u8]> {
    bytes.get_mut(range).ok_or_else(|| Error::internal("a slice lies outside its buffer"))
}

/// `value` as `u32`, for lengths that their caller has already bounded.
pub(crate) fn narrow(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|e| Error::internal("a length is too large").because(e))
}
