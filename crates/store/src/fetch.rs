//! One plan of fetches for all who read many frames.
//!
//! Frames that lie close together in a pack come in one request, together with what lies between
//! them; each request is bounded.

use std::ops::Range;

use crate::error::Result;
use crate::field::part;
use crate::margins;
use crate::pack::{Location, Pack};

/// A part of one pack that one request brings, and the frames in it, by place.
pub(crate) struct Fetch<T> {
    pub(crate) pack: Pack,
    pub(crate) range: Range<u64>,
    pub(crate) frames: Vec<(Location, T)>,
}

/// Sorts frames into requests. They come by pack and offset; one place may come several times.
pub(crate) fn plan<T>(sorted: impl IntoIterator<Item = (Location, T)>) -> Vec<Fetch<T>> {
    let mut out: Vec<Fetch<T>> = Vec::new();
    for (at, what) in sorted {
        let (start, end) = (u64::from(at.offset), u64::from(at.offset) + u64::from(at.len));
        let fits = |last: &&mut Fetch<T>| {
            last.pack.name == at.pack.name
                && start <= last.range.end + margins::FETCH_GAP
                && end - last.range.start <= margins::FETCH
        };
        match out.last_mut().filter(fits) {
            Some(last) => {
                last.range.end = last.range.end.max(end);
                last.frames.push((at, what));
            }
            None => out.push(Fetch { pack: at.pack, range: start..end, frames: vec![(at, what)] }),
        }
    }
    out
}

impl<T> Fetch<T> {
    /// The frame at a place of this request, in the bytes that it brought.
    pub(crate) fn frame<'b>(&self, at: &Location, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let start = (u64::from(at.offset) - self.range.start) as usize;
        part(bytes, start..start + at.len as usize)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(pack: u128, offset: u64, len: u64) -> Location {
        let pack = Pack { name: Uuid::from_u128(pack), salt: [0; 32], epoch: 1, size: u32::MAX };
        Location { pack, offset: offset as u32, len: len as u32 }
    }

    #[test]
    fn what_is_close_together_comes_together() {
        let (gap, most) = (margins::FETCH_GAP, margins::FETCH);
        let frames = [
            at(1, 100, 50),
            at(1, 100, 50),
            at(1, 150 + gap, 10),
            at(1, 161 + 2 * gap, 10),
            at(1, 161 + 2 * gap + most - 10, 10),
            at(1, 161 + 2 * gap + most, 10),
            at(2, 161 + 2 * gap + most, 10),
        ];
        let planned = plan(frames.into_iter().zip(0..));
        let told: Vec<_> = planned.iter().map(|f| (f.range.clone(), f.frames.len())).collect();
        let third = 161 + 2 * gap;
        let expected = [
            (100..160 + gap, 3),
            (third..third + 10, 1),
            (third + most - 10..third + most + 10, 2),
            (third + most..third + most + 10, 1),
        ];
        assert_eq!(told, expected);
        let bytes: Vec<u8> = (0..60 + gap).map(|place| place as u8).collect();
        let first = planned.first().unwrap();
        let [frame, end] = [at(1, 150 + gap, 10), at(1, 160 + gap, 10)];
        assert_eq!(first.frame(&frame, &bytes).unwrap()[0], (50 + gap) as u8);
        assert!(first.frame(&end, &bytes).is_err());
    }
}
