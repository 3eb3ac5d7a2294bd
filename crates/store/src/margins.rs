//! The bounds that are properties of this program and not of the format.
//!
//! The format's own parameters are fields of [`crate::StoreConfig`]. A number here may change
//! from one version to the next without any store noticing, with one exception: a version that
//! lowers a limit of what is read or accepted (`RECORD`, `RUN`, `RAW`, `SLOTS`, `EPOCHS`, ...)
//! refuses what an earlier one has written.

use std::time::Duration;

/// Decoded index pages kept in memory (4 KiB each).
pub(crate) const INDEX_PAGES: usize = 6144;

/// Local index segments of one tier that are merged into one.
pub(crate) const SEGMENT_FAN: usize = 4;

/// Entries below which local segments are all of the lowest tier.
pub(crate) const TIER_ENTRIES: u64 = 1 << 13;

/// Decoded map nodes kept in memory, by weight in bytes.
pub(crate) const NODE_CACHE: usize = 8 << 20;

/// Decoded chunks kept in memory for random reads, by weight in bytes.
pub(crate) const CHUNK_CACHE: usize = 16 << 20;

/// Windows that are cut, hashed and compressed at once. Two more than two processors, so that
/// workers that wait for the source leave neither a processor nor the source idle.
pub(crate) const INGEST_WORKERS: usize = 4;

/// Windows handed out ahead of the one the map builder waits for.
pub(crate) const WINDOWS_AHEAD: usize = INGEST_WORKERS + 2;

/// Packs being uploaded at once.
pub(crate) const UPLOADS: usize = 2;

/// Full packs waiting for an uploader, besides the one that a worker is about to hand over.
pub(crate) const PACKS_WAITING: usize = 0;

/// Bytes from which on a file is written past the page cache.
pub(crate) const DIRECT_LEAST: usize = 1 << 20;

/// Bytes from which on a part of a file is read past the page cache.
pub(crate) const DIRECT_READ: u64 = 256 << 10;

/// Pieces of memory for reads past the page cache that are kept for the next ones, for as long as
/// a store is open.
pub(crate) const READS_KEPT: usize = 4;

/// Pieces of memory for packs that are kept for the next ones, while packs are made.
pub(crate) const PACKS_KEPT: usize = 3;

/// Room of a new pack beyond the bytes at which it is full: for the frame that fills it.
pub(crate) const PACK_SPARE: usize = 512 << 10;

/// Bytes of one write past the page cache.
pub(crate) const DIRECT_PIECE: usize = 1 << 20;

/// Bytes read from the source in one call.
pub(crate) const READ_PIECE: usize = 1 << 20;

/// Unchanged blocks read from the source in one call while cuts re-synchronise.
pub(crate) const RESYNC_BLOCKS: usize = 8;

/// Bytes before and behind a change that are fetched ahead with it: about the chunk that it is in.
pub(crate) const PREFETCH_AROUND: u64 = 64 << 10;

/// Index entries after which a run is written even if few bytes were stored.
pub(crate) const CHECKPOINT_ENTRIES: usize = 1 << 17;

/// Threads that fetch, decode and write during a restore. More than two processors, so that
/// those that wait for reads and writes leave none idle.
pub(crate) const RESTORE_WORKERS: usize = 4;

/// Fetches that are planned and not begun.
pub(crate) const FETCHES_WAITING: usize = 2 * RESTORE_WORKERS;

/// Bytes of neighbouring chunks that are written to the target of a restore at once.
pub(crate) const WRITE: usize = 1 << 20;

/// Chunk references in the first batch of a restore; each later one has twice as many, up to
/// [`RESTORE_BATCH`].
pub(crate) const RESTORE_FIRST: usize = 1 << 9;

/// Chunk references sorted by pack at once during a restore.
pub(crate) const RESTORE_BATCH: usize = 1 << 15;

/// Memory of one request to a pack.
pub(crate) const FETCH_ROOM: usize = 4 << 20;

/// Bytes fetched from a pack in one request: with what is before them in their first block, and
/// behind them in their last one, they fill the memory of a request.
pub(crate) const FETCH: u64 = FETCH_ROOM as u64 - (8 << 10);

/// Bytes of a pack that are read at once when all of it is checked. Less than
/// [`DIRECT_READ`] more at its end come with them.
pub(crate) const SCAN_PIECE: u64 = FETCH - DIRECT_READ;

/// Threads that read and check packs. Two more than two processors, so that those that wait for
/// the disk leave neither idle.
pub(crate) const VERIFY_WORKERS: usize = 4;

/// Pages of an index run in the store that are read at once when it is checked.
pub(crate) const INSPECT_PAGES: u64 = 256;

/// Packs that are compared with the index at once (about 200 bytes each).
pub(crate) const VERIFY_PACKS: u64 = 1 << 15;

/// Packs that a repair compares with the index at once (about 250 bytes each): as often as there
/// are so many, it reads all entries.
pub(crate) const SALVAGE_PACKS: usize = 1 << 16;

/// Good frames of damaged packs kept at once, to tell which of their index entries are bad.
pub(crate) const VERIFY_FRAMES: usize = 1 << 18;

/// Places of damaged frames that one verification, and the quarantine, can hold.
pub(crate) const BAD_PLACES: usize = 1 << 18;

/// Findings of one verification that are described; more are only counted.
pub(crate) const FINDINGS: usize = 1000;

/// Ids, points, and ranges of a point that are listed in one finding; more are only counted.
pub(crate) const LISTED: usize = 64;

/// Packs that cannot be read now, after which a verification gives up.
pub(crate) const UNREADABLE: u64 = 16;

/// Packs that some chosen points may reach for these to be verified alone.
pub(crate) const REACHED_PACKS: usize = 1 << 20;

/// Contents that are fetched from another store before they are made findable.
pub(crate) const HEAL_BATCH: usize = 1 << 14;

/// Nodes of maps that a walk remembers to be whole.
pub(crate) const WALKED: usize = 1 << 18;

/// Ranges of a point that cannot be read which are told one by one; more are told as one.
pub(crate) const WOUNDS: usize = 1 << 14;

/// Points that are remembered to be whole while something in the store is not.
pub(crate) const WHOLE_POINTS: usize = 1 << 10;

/// Places in one quarantine record.
pub(crate) const QUARANTINE_PLACES: usize = 1 << 13;

/// Unneeded bytes inside a pack that are fetched rather than skipped.
pub(crate) const FETCH_GAP: u64 = 64 << 10;

/// Tries of an operation on an object before its transient error is handed on. With the pauses
/// between them an outage of 20 seconds or more is sat out.
pub(crate) const TRIES: u32 = 6;

/// Longest pause before the second try; each later one is four times as long.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// Longest pause between two tries.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Largest small object (record, key slots, configuration) that is read.
pub(crate) const RECORD: u64 = 4 << 20;

/// Largest record of a point that is written: pins and writers hold a copy of it and more.
pub(crate) const POINT_RECORD: u64 = RECORD / 2;

/// Largest index run that is read.
pub(crate) const RUN: u64 = 256 << 20;

/// Largest chunk or node that a frame may claim to hold.
pub(crate) const RAW: u32 = 16 << 20;

/// Largest memory that a passphrase slot may ask Argon2 to use, in KiB.
pub(crate) const ARGON2_KIB: u32 = 1 << 20;

/// Most passes that a passphrase slot may ask Argon2 to make.
pub(crate) const ARGON2_PASSES: u32 = 64;

/// Key slots in one slot object.
pub(crate) const SLOTS: u16 = 64;

/// Bytes of the label of a key slot.
pub(crate) const SLOT_LABEL: usize = 256;

/// Epochs of one store: its keys stay in every copy of the slots.
pub(crate) const EPOCHS: usize = 4096;

/// Copies of the slot object.
pub(crate) const SLOT_COPIES: u32 = 3;

/// Most entries of a local segment that a merge makes. Bounds the memory of the merge, which
/// holds the filter (1.25 bytes an entry), the fences (0.1) and the packs (about 160 bytes each).
pub(crate) const SEGMENT_ENTRIES: u64 = 32 << 20;

/// Runs that a small store may have before they are worth merging.
pub(crate) const STORE_RUNS: u64 = 64;

/// Entries, on average, that a run of the store should have at least.
pub(crate) const STORE_RUN_ENTRIES: u64 = 1 << 16;

/// Handles that may share one cache folder.
pub(crate) const CACHE_SLOTS: u32 = 64;

/// Decoders of single frames, with their buffers, that are kept for the next reads.
pub(crate) const OPENERS_KEPT: usize = 8;

/// Keys of packs kept derived.
pub(crate) const PACK_KEYS: usize = 1024;

/// Windows whose allocation is asked for in one call.
pub(crate) const ALLOCATION_WINDOWS: u64 = 64;

/// Places of one chunk that are tried when packs are found gone.
pub(crate) const PLACES: usize = 16;

/// Packs that a handle remembers to be gone.
pub(crate) const GONE_PACKS: usize = 1 << 14;

/// Packs in one record of condemned packs.
pub(crate) const CONDEMNED_PACKS: usize = 1 << 14;

/// Threads that fetch, decode and encode during a copy.
pub(crate) const COPY_WORKERS: usize = 3;

/// Chunk references sorted by pack at once during a copy.
pub(crate) const COPY_BATCH: usize = 1 << 14;

/// Ancestors of a point that are asked for when a copy looks for what the target has of it.
pub(crate) const COPY_ANCESTORS: usize = 1 << 10;

/// Bytes up to which a read of a copy goes through the cache of chunks; a longer one is planned by
/// pack, where one request brings many chunks.
pub(crate) const COPY_CACHED: usize = 256 << 10;

/// Keys that a copy may have: one more for each attempt at it that collection gave up.
pub(crate) const COPY_KEYS: u32 = 64;

/// Changed ranges that are handed to an ingest of a point of another domain; more are joined.
pub(crate) const COPY_RANGES: usize = 1 << 16;

/// Ids that are sorted in memory while a collection marks (32 bytes each).
pub(crate) const SORT_IDS: usize = 1 << 18;

/// Files of sorted ids that are merged at once.
pub(crate) const SORT_FILES: usize = 32;

/// Map nodes that a collection remembers to have walked; forgetting costs only time. As many as
/// fit into a hash table of 2^18 places.
pub(crate) const WALKED_NODES: usize = (1 << 18) / 8 * 7;

/// Entries of one index run that a collection writes (about 100 bytes of memory each).
pub(crate) const REWRITE_ENTRIES: usize = 1 << 17;

/// Times that one collection begins anew because a full disk let it do only a part.
pub(crate) const ROUNDS: u32 = 16;

/// Lost ids and writers that a report names.
pub(crate) const NAMED: usize = 16;

/// Times that the runs of the index are listed anew because some were replaced meanwhile.
pub(crate) const LISTINGS: usize = 8;

/// Frames that one collection copies (about 100 bytes of memory each).
pub(crate) const REWRITE_FRAMES: usize = 1 << 18;
