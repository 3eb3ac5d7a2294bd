//! Collection of garbage.

mod record;

pub(crate) use record::CONDEMNED;
