//! Pages of databases: rows that grow from the end, slots that grow from the front, slack between.
//!
//! A page is a function of its file, its number and the day, so that an update rewrites the page
//! in place and changes one row and the header, nothing else.

use super::super::random::Random;
use super::words::Words;

/// Which page of which file, and how often it was updated.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) seed: u64,
    pub(super) number: u64,
    pub(super) day: u64,
}

impl Page {
    /// What an update changes of a row, other on a later day only for the one row that it meets.
    fn updated(&self, row: u64) -> Random {
        let day = if row == self.number % 5 { self.day } else { 0 };
        Random::new(self.seed ^ (day + 1).rotate_left(32), self.number, row)
    }

    /// Appends a page of `size` bytes with rows of `least` words and more; a fifth of the pages
    /// belongs to an index, where rows are keys that look random.
    pub(super) fn write(&self, words: &Words, size: usize, least: u64, out: &mut Vec<u8>) {
        let index = Random::new(self.seed, 0x69, self.number).chance(20);
        let room = size - 32;
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let mut used = 0;
        loop {
            let row = self.row(words, rows.len() as u64, index, least);
            // A full page keeps some room for updates, how much differs from page to page.
            used += row.len() + 4;
            if used > room - room / 16 {
                break;
            }
            rows.push(row);
        }
        let start = out.len();
        out.extend_from_slice(&(self.number << 8 | self.day).to_be_bytes());
        out.extend_from_slice(&(rows.len() as u64).to_be_bytes());
        out.extend_from_slice(&Random::new(self.seed, self.day, self.number).next().to_be_bytes());
        let mut end = size;
        for row in &rows {
            end -= row.len();
            let slot = u32::try_from(end << 12 | row.len()).unwrap_or_default();
            out.extend_from_slice(&slot.to_be_bytes());
        }
        out.resize(start + end, 0);
        for row in rows.iter().rev() {
            out.extend_from_slice(row);
        }
    }

    fn row(&self, words: &Words, row: u64, index: bool, least: u64) -> Vec<u8> {
        let mut random = Random::new(self.seed, self.number, row);
        let mut updated = self.updated(row);
        let mut bytes = (self.number * 64 + row).to_be_bytes().to_vec();
        if index {
            updated.append(16, &mut bytes);
            return bytes;
        }
        let owner = u16::try_from(updated.below(5000)).unwrap_or_default();
        bytes.extend_from_slice(&owner.to_be_bytes());
        let count = least + random.below(least * 5);
        words.phrase(&mut random, count, &mut bytes);
        updated.append(8, &mut bytes);
        bytes
    }
}
