//! Objects in a local folder.
//!
//! Unlike a general purpose implementation this one promises that an object which was put, and
//! a deletion, survive a loss of power once the call returns, that create-only puts are honest
//! (a hard link decides), and that a failed flush is never papered over. Calls do their file
//! work on the calling thread. Opening a folder that is there takes no room: what is full can
//! still be read, and freed.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use rustix::fs::{FlockOperation, flock};

use super::reading::Reading;
use crate::durable::{Disk, Durable, Files};

const NAME: &str = "local objects";

/// The folder for files that have no name yet.
const STAGING: &str = ".staging";

/// An object store in a folder.
pub struct LocalObjects(Arc<Folder>);

struct Folder {
    root: PathBuf,
    /// From the first put on.
    staging: Mutex<Option<Staging>>,
    durable: Durable,
    next: AtomicU64,
    reading: Reading,
    /// Folders that are known to be durable.
    folders: Mutex<HashSet<PathBuf>>,
}

/// A folder of our own for files that have no name yet.
struct Staging {
    path: PathBuf,
    /// Held for life: tells the sweep of another process that the folder is in use.
    _lock: File,
}

impl LocalObjects {
    /// Opens `root`, which is made if its parent exists, and removes what crashed writers left.
    pub fn open(root: &FilePath) -> io::Result<Self> {
        Self::open_on(root, Arc::new(Disk))
    }

    /// The same, with every write going through `files`.
    pub fn open_on(root: &FilePath, files: Arc<dyn Files>) -> io::Result<Self> {
        let durable = Durable::new(files);
        let top = root.join(STAGING);
        durable.make_dir(root)?;
        durable.make_dir(&top)?;
        sweep(&top)?;
        settle(&durable, root)?;
        let (root, next) = (root.to_path_buf(), AtomicU64::new(0));
        let (staging, reading, folders) = Default::default();
        Ok(Self(Arc::new(Folder { root, staging, durable, next, reading, folders })))
    }
}

impl Folder {
    fn staging(&self) -> MutexGuard<'_, Option<Staging>> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a file that has none yet.
    fn temporary(&self) -> io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let mut staging = self.staging();
        let claimed = match staging.take() {
            Some(claimed) => claimed,
            None => claim(&self.durable, &self.root.join(STAGING))?,
        };
        Ok(staging.insert(claimed).path.join(number))
    }

    fn file(&self, location: &Path) -> Result<PathBuf> {
        let mut path = self.root.clone();
        for (depth, part) in location.parts().enumerate() {
            let part = part.as_ref();
            if depth == 0 && part == STAGING || part == ".." || part == "." {
                let source = io::Error::from(io::ErrorKind::InvalidInput);
                return Err(generic(source));
            }
            path.push(part);
        }
        Ok(path)
    }

    /// Makes the folders above `path` that are missing, from the top.
    fn make_parents(&self, path: &FilePath) -> io::Result<()> {
        let known = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let above = path.parent().filter(|p| p.starts_with(&self.root) && *p != self.root);
        let Some(parent) = above.filter(|parent| !known().contains(*parent)) else {
            return Ok(());
        };
        self.make_parents(parent)?;
        // Also when it is there: whoever made it may not have come to the flush yet.
        self.durable.make_dir(parent)?;
        known().insert(parent.to_path_buf());
        Ok(())
    }

    fn put(&self, location: &Path, payload: &PutPayload, mode: &PutMode) -> Result<()> {
        let path = self.file(location)?;
        let parts: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
        let temporary = self.make_parents(&path).and_then(|()| self.temporary());
        let written = temporary.and_then(|temporary| match mode {
            PutMode::Create => self.durable.create(&temporary, &path, &parts),
            _ => self.durable.replace(&temporary, &path, &parts),
        });
        written.map_err(|e| named(location, e))
    }

    fn meta(location: &Path, found: io::Result<Metadata>) -> Result<ObjectMeta> {
        let found = found.map_err(|e| named(location, e))?;
        if !found.is_file() {
            return Err(named(location, io::ErrorKind::NotFound.into()));
        }
        Ok(ObjectMeta {
            location: location.clone(),
            last_modified: found.modified().map_err(generic)?.into(),
            size: found.len(),
            e_tag: None,
            version: None,
        })
    }

    fn get(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let file = File::open(self.file(location)?).map_err(|e| named(location, e))?;
        let meta = Self::meta(location, file.metadata())?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => clip(range, meta.size)?,
        };
        let wanted = if options.head { 0..0 } else { range.clone() };
        let bytes = self.reading.read(&file, wanted).map_err(|e| named(location, e))?;
        let body = stream::once(async move { Ok(bytes) }).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete(&self, location: &Path) -> Result<()> {
        let path = self.file(location)?;
        self.durable.remove(&path).map_err(|e| named(location, e))
    }

    /// All objects below a prefix; one folder of them is in memory at once.
    fn walk(self: Arc<Self>, prefix: Path) -> impl Stream<Item = Result<ObjectMeta>> {
        let settled = self.settle(&prefix).map(|()| vec![prefix]);
        let open = move |mut folders: Vec<Path>| {
            let this = Arc::clone(&self);
            async move {
                let Some(folder) = folders.pop() else {
                    return Ok::<_, object_store::Error>(None);
                };
                let (files, deeper) = this.entries(&folder)?;
                folders.extend(deeper.into_iter().rev());
                Ok(Some((stream::iter(files.into_iter().map(Ok)), folders)))
            }
        };
        let walked = settled.map(|folders| stream::try_unfold(folders, open).try_flatten());
        stream::iter([walked]).try_flatten()
    }

    /// The objects directly in a folder, and the folders in it, each sorted.
    fn entries(&self, folder: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let listed = match fs::read_dir(self.file(folder)?) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((files, folders)),
            other => other.map_err(|e| named(folder, e))?,
        };
        for entry in listed {
            let entry = entry.map_err(generic)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| *n != STAGING) else {
                continue;
            };
            let location = folder.clone().join(name);
            let kind = entry.file_type().map_err(generic)?;
            if kind.is_dir() {
                folders.push(location);
            } else if kind.is_file() {
                match entry.metadata() {
                    // Deleted since the folder was read.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    found => files.push(Self::meta(&location, found)?),
                }
            }
        }
        // Whoever is told of a name may rely on it, also if whoever gave it was killed before
        // its flush.
        let path = self.file(folder)?;
        self.durable.settle_dir(&path).map_err(|e| named(folder, e))?;
        files.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        folders.sort_unstable();
        Ok((files, folders))
    }

    /// Makes a folder's own name durable, where there is one.
    fn settle(&self, folder: &Path) -> Result<()> {
        let path = self.file(folder)?;
        if !self.durable.is_healthy() || !path.is_dir() {
            return Ok(());
        }
        self.make_parents(&path.join(LOCK)).map_err(|e| named(folder, e))
    }
}

impl fmt::Display for LocalObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} in {}", self.0.root.display())
    }
}

impl fmt::Debug for LocalObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // An empty folder of ours is of no use to anybody; one with files is swept later.
        if let Some(staging) = self.staging().take() {
            let _ = fs::remove_file(staging.path.join(LOCK));
            let _ = fs::remove_dir(&staging.path);
        }
    }
}

#[async_trait]
impl ObjectStore for LocalObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if let PutMode::Update(_) = opts.mode {
            return Err(missing("conditional update"));
        }
        self.0.put(location, &payload, &opts.mode)?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(missing("multipart upload"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get(location, &options)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = Arc::clone(&self.0);
        locations
            .map(move |location| {
                let location = location?;
                this.delete(&location)?;
                Ok(location)
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Arc::clone(&self.0).walk(prefix.cloned().unwrap_or_default()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        let (objects, common_prefixes) = self.0.entries(prefix.unwrap_or(&root))?;
        Ok(ListResult { objects, common_prefixes, extensions: Default::default() })
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(missing("copy"))
    }
}

const LOCK: &str = "lock";

/// Makes a staging folder of our own and locks it.
fn claim(durable: &Durable, top: &FilePath) -> io::Result<Staging> {
    for number in 0..u32::MAX {
        let folder = top.join(format!("{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        let path = folder.join(LOCK);
        // Another process that sweeps just now may take the folder away: try the next number.
        let Ok(lock) = File::create_new(&path) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && path.exists() {
            durable.make_dir(&folder)?;
            return Ok(Staging { path: folder, _lock: lock });
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes all names durable: a writer that was killed may have given one and not come to the
/// flush, and what is seen from now on must stay.
fn settle(durable: &Durable, dir: &FilePath) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != STAGING {
            settle(durable, &entry.path())?;
        }
    }
    durable.sync_dir(dir)
}

/// Removes the staging folders of writers that are gone: nobody holds their lock.
fn sweep(top: &FilePath) -> io::Result<()> {
    for entry in fs::read_dir(top)? {
        let folder = entry?.path();
        let Ok(lock) = File::open(folder.join(LOCK)) else {
            // Being made or being removed this instant, or left so by a crash: an empty folder
            // goes, anything else stays for a sweep that can tell.
            let _ = fs::remove_dir(&folder);
            continue;
        };
        // The lock is held until the folder is gone, so that nobody moves in meanwhile.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match fs::remove_dir_all(&folder) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

fn clip(range: &GetRange, size: u64) -> Result<Range<u64>> {
    range.as_range(size).map_err(|e| generic(io::Error::new(io::ErrorKind::InvalidInput, e)))
}

fn generic(source: io::Error) -> Error {
    Error::Generic { store: NAME, source: source.into() }
}

fn missing(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() }
}

fn named(location: &Path, source: io::Error) -> Error {
    let path = location.to_string();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::NotFound { path, source: source.into() }
        }
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: source.into() },
        _ => generic(source),
    }
}
