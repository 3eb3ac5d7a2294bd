//! Every bound that is a property of this program and not of the format.
//!
//! The format's own parameters are fields of [`crate::StoreConfig`]. A number here may change
//! from one version to the next without any store noticing.

/// Bytes of one page of an index run.
pub(crate) const PAGE: usize = 4096;

/// Decoded index pages kept in memory (4 KiB each).
pub(crate) const INDEX_PAGES: usize = 6144;

/// Local index segments above which small ones are merged.
pub(crate) const SEGMENTS: usize = 8;

/// Decoded map nodes kept in memory, by weight in bytes.
pub(crate) const NODE_CACHE: usize = 8 << 20;

/// Decoded chunks kept in memory for random reads, by weight in bytes.
pub(crate) const CHUNK_CACHE: usize = 16 << 20;

/// Windows that are cut, hashed and compressed at once. One more than two processors, so that
/// a worker waiting for the source leaves no processor idle.
pub(crate) const INGEST_WORKERS: usize = 3;

/// Windows handed out ahead of the one the map builder waits for.
pub(crate) const WINDOWS_AHEAD: usize = INGEST_WORKERS + 2;

/// Packs being uploaded at once.
pub(crate) const UPLOADS: usize = 2;

/// Full packs waiting for an uploader, besides the one that a worker is about to hand over.
pub(crate) const PACKS_WAITING: usize = 0;

/// Bytes read from the source in one call.
pub(crate) const READ_PIECE: usize = 1 << 20;

/// Unchanged blocks read from the source in one call while cuts re-synchronise.
pub(crate) const RESYNC_BLOCKS: usize = 8;

/// Index entries after which a run is written even if few bytes were stored.
pub(crate) const CHECKPOINT_ENTRIES: usize = 1 << 17;

/// Threads that fetch and decode during a restore.
pub(crate) const RESTORE_WORKERS: usize = 3;

/// Chunk references sorted by pack at once during a restore.
pub(crate) const RESTORE_BATCH: usize = 1 << 15;

/// Bytes fetched from a pack in one request.
pub(crate) const FETCH: u64 = 4 << 20;

/// Unneeded bytes inside a pack that are fetched rather than skipped.
pub(crate) const FETCH_GAP: u64 = 64 << 10;

/// Tries of an operation on an object before its transient error is handed on.
pub(crate) const TRIES: usize = 3;

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

/// Copies of the slot object.
pub(crate) const SLOT_COPIES: u32 = 3;

/// Entries above which a local segment is not merged any further: bounds the memory of a merge
/// (its filter takes 1.25 bytes an entry).
pub(crate) const SEGMENT_ENTRIES: u64 = 64 << 20;

/// Runs of an earlier attempt that are open at once before they are merged.
pub(crate) const ATTEMPT_RUNS: usize = 32;

/// Handles that may share one cache folder.
pub(crate) const CACHE_SLOTS: u32 = 64;

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

/// Ids that are sorted in memory while a collection marks (32 bytes each).
pub(crate) const SORT_IDS: usize = 1 << 18;

/// Files of sorted ids that are merged at once.
pub(crate) const SORT_FILES: usize = 32;

/// Map nodes that a collection remembers to have walked; forgetting costs only time.
pub(crate) const WALKED_NODES: usize = 1 << 18;

/// Entries of one index run that a collection writes (about 100 bytes of memory each).
pub(crate) const REWRITE_ENTRIES: usize = 1 << 17;

/// Lost ids and writers that a report names.
pub(crate) const NAMED: usize = 16;

/// Times that the runs of the index are listed anew because some were replaced meanwhile.
pub(crate) const LISTINGS: usize = 8;

/// Frames that one collection copies (about 100 bytes of memory each).
pub(crate) const REWRITE_FRAMES: usize = 1 << 18;
