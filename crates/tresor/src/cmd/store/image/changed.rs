//! Lists of changed ranges (see `tresor_input::changes`) in files.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use tresor_input::{Unclear, changes};

use super::file::{self, Kind};
use crate::usage::Usage;

/// Largest list that is read.
const LIST: u64 = 256 << 20;

/// Reads a list as ascending, disjoint ranges within `size`.
pub(in super::super) fn changed_ranges(path: &Path, size: u64) -> Result<Vec<Range<u64>>> {
    let shown = path.display();
    let context = || Usage(format!("cannot read {shown}"));
    if file::kind(path).with_context(context)? != Kind::File {
        return Err(Usage::error(format!("{shown} is no regular file")));
    }
    if fs::metadata(path).with_context(context)?.len() > LIST {
        return Err(Usage::error(format!("{shown} is larger than {} MiB", LIST >> 20)));
    }
    let text = fs::read_to_string(path).with_context(context)?;
    changes(&text, size).map_err(|unclear| {
        let said = unclear.to_string();
        match unclear {
            Unclear::Line { number, .. } => Usage::error(format!("{shown}:{number}: {said}")),
            Unclear::Range { .. } | Unclear::Other { .. } => {
                Usage::error(format!("{shown}: {said}"))
            }
            Unclear::Json(cause) => {
                anyhow::Error::new(cause).context(Usage(format!("{shown}: {said}")))
            }
        }
    })
}
