//! Compression: zstd, or nothing where that does not shrink.
//!
//! What was compressed is decompressed and compared before it is stored (if the store's
//! configuration says so): bad memory is then found while the source still has the bytes.

use zstd::bulk::{Compressor, Decompressor};

use crate::error::{Error, Result};
use crate::memory::Memory;

/// How the bytes of a frame are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
}

impl Encoding {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            other => Err(Error::corrupt(format!("unknown encoding {other}"))),
        }
    }
}

/// The compression context of one thread; its buffers are used again and again.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
    checker: Option<Decoder>,
}

impl Encoder {
    pub(crate) fn new(level: i32, check: bool) -> Result<Self> {
        let compressor = Compressor::new(level)
            .map_err(|e| Error::internal("no compression context").because(e))?;
        let checker = check.then(Decoder::new).transpose()?;
        Ok(Self { compressor, checker })
    }

    /// Appends the smaller one of `raw` and its compressed form to `out`.
    pub(crate) fn append(&mut self, raw: &[u8], out: &mut Memory) -> Result<Encoding> {
        let spare = out.spare(zstd::zstd_safe::compress_bound(raw.len()))?;
        let len = self
            .compressor
            .compress_to_buffer(raw, spare)
            .map_err(|e| Error::internal("compression failed").because(e))?;
        if len >= raw.len() {
            out.extend(raw)?;
            return Ok(Encoding::Raw);
        }
        let packed = spare.get(..len).unwrap_or_default();
        if let Some(checker) = &mut self.checker
            && checker.decode(Encoding::Zstd, packed, raw.len())? != raw
        {
            let context = "compressed bytes do not decompress to what they were: check the memory";
            return Err(Error::corrupt(context));
        }
        out.filled(len);
        Ok(Encoding::Zstd)
    }
}

/// The decompression context of one thread.
pub(crate) struct Decoder {
    decompressor: Decompressor<'static>,
    raw: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Result<Self> {
        let decompressor =
            Decompressor::new().map_err(|e| Error::internal("no context").because(e))?;
        Ok(Self { decompressor, raw: Vec::new() })
    }

    /// The `len` bytes that `stored` encodes.
    pub(crate) fn decode<'a>(
        &'a mut self,
        encoding: Encoding,
        stored: &'a [u8],
        len: usize,
    ) -> Result<&'a [u8]> {
        let raw = match encoding {
            Encoding::Raw => stored,
            Encoding::Zstd => {
                self.raw.clear();
                self.raw.reserve(len);
                self.decompressor
                    .decompress_to_buffer(stored, &mut self.raw)
                    .map_err(|e| Error::corrupt("stored bytes do not decompress").because(e))?;
                &self.raw
            }
        };
        if raw.len() != len {
            return Err(Error::corrupt("stored bytes have the wrong length"));
        }
        Ok(raw)
    }

    /// The same, into memory of exactly the right size.
    pub(crate) fn decode_into(
        &mut self,
        encoding: Encoding,
        stored: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        let len = match encoding {
            Encoding::Raw if stored.len() == out.len() => {
                out.copy_from_slice(stored);
                stored.len()
            }
            Encoding::Raw => stored.len(),
            Encoding::Zstd => self
                .decompressor
                .decompress_to_buffer(stored, out)
                .map_err(|e| Error::corrupt("stored bytes do not decompress").because(e))?,
        };
        if len != out.len() {
            return Err(Error::corrupt("stored bytes have the wrong length"));
        }
        Ok(())
    }
}
