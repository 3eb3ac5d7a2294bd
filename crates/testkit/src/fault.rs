//! Objects that fail on purpose.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What an object store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Write an object.
    Put,
    /// Read an object or a part of it.
    Get,
    /// List a folder.
    List,
    /// Delete an object.
    Delete,
}

/// What shall become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It works.
    None,
    /// It fails and nothing happens.
    Refuse,
    /// It happens, and yet a failure is reported: a reply got lost.
    LoseReply,
    /// It fails because there is no room.
    Full,
    /// A put stores half of the bytes and fails.
    Partial,
    /// A read ends early, without a failure: half of the bytes come.
    Short,
    /// A read fails because the medium cannot read the place.
    Medium,
    /// A put is refused as one too many, although nothing has the name.
    Conflict,
    /// It succeeds and does something else: a put overwrites, a read ignores the range, a list
    /// is empty, a deletion does nothing.
    Lie,
    /// A read works, but one bit of the object is wrong: that of this number, from the start of
    /// the object, if it is among the bytes read.
    FlipBit(u64),
}

type Plan = dyn Fn(Operation, &Path, u64) -> Fault + Send + Sync;

/// An object store around another one, in which a plan decides about each operation: it is asked
/// with the operation, the object and the number of operations of this kind before this one.
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
    counts: Arc<[AtomicU64; 4]>,
}

impl Faulty {
    /// `plan` decides about everything asked of `inner`.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(Operation, &Path, u64) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let counts = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { inner, plan: Arc::new(plan), counts }
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: Operation) -> u64 {
        counter(&self.counts, operation).load(Ordering::SeqCst)
    }

    fn decide(&self, operation: Operation, path: &Path) -> Fault {
        let before = counter(&self.counts, operation).fetch_add(1, Ordering::SeqCst);
        (self.plan)(operation, path, before)
    }
}

fn counter(counts: &[AtomicU64; 4], operation: Operation) -> &AtomicU64 {
    let [put, get, list, delete] = counts;
    match operation {
        Operation::Put => put,
        Operation::Get => get,
        Operation::List => list,
        Operation::Delete => delete,
    }
}

fn failure(fault: Fault, location: &Path) -> Error {
    let source = match fault {
        Fault::Full => std::io::ErrorKind::StorageFull.into(),
        // EIO
        Fault::Medium => std::io::Error::from_raw_os_error(5),
        _ => std::io::Error::from(std::io::ErrorKind::ConnectionReset),
    };
    match fault {
        Fault::Conflict => {
            Error::AlreadyExists { path: location.to_string(), source: source.into() }
        }
        _ => Error::Generic { store: "faulty objects", source: source.into() },
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

/// The same answer with other bytes.
async fn with_body(got: GetResult, change: impl FnOnce(&mut Vec<u8>)) -> Result<GetResult> {
    let (meta, range) = (got.meta.clone(), got.range.clone());
    let attributes = got.attributes.clone();
    let mut bytes = got.bytes().await?.to_vec();
    change(&mut bytes);
    let body = stream::once(async move { Ok(Bytes::from(bytes)) }).boxed();
    let payload = GetResultPayload::Stream(body);
    Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        match self.decide(Operation::Put, location) {
            Fault::None | Fault::FlipBit(_) => self.inner.put_opts(location, payload, opts).await,
            Fault::LoseReply => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failure(Fault::LoseReply, location))
            }
            Fault::Partial => {
                let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
                self.inner.put_opts(location, half.into(), opts).await?;
                Err(failure(Fault::Partial, location))
            }
            Fault::Lie => self.inner.put_opts(location, payload, PutOptions::default()).await,
            fault => Err(failure(fault, location)),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.decide(Operation::Get, location);
        match fault {
            Fault::None => self.inner.get_opts(location, options).await,
            Fault::FlipBit(bit) => {
                let got = self.inner.get_opts(location, options).await?;
                let place = (bit / 8).checked_sub(got.range.start).map(|at| at as usize);
                with_body(got, |bytes| {
                    if let Some(byte) = place.and_then(|at| bytes.get_mut(at)) {
                        *byte ^= 1 << (bit % 8);
                    }
                })
                .await
            }
            Fault::Short => {
                let got = self.inner.get_opts(location, options).await?;
                with_body(got, |bytes| bytes.truncate(bytes.len() / 2)).await
            }
            Fault::Lie => {
                let whole = GetOptions { range: None, ..options };
                self.inner.get_opts(location, whole).await
            }
            fault => Err(failure(fault, location)),
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (plan, counts) = (Arc::clone(&self.plan), Arc::clone(&self.counts));
        let inner = Arc::clone(&self.inner);
        let checked = locations.then(move |location| {
            let decided = location.map(|location| {
                let counter = counter(&counts, Operation::Delete);
                let before = counter.fetch_add(1, Ordering::SeqCst);
                ((plan)(Operation::Delete, &location, before), location)
            });
            let inner = Arc::clone(&inner);
            async move {
                let (fault, location) = decided?;
                if matches!(fault, Fault::None | Fault::FlipBit(_) | Fault::LoseReply) {
                    let one = stream::once({
                        let location = location.clone();
                        async move { Ok(location) }
                    });
                    for done in inner.delete_stream(one.boxed()).collect::<Vec<_>>().await {
                        done?;
                    }
                }
                match fault {
                    Fault::None | Fault::FlipBit(_) | Fault::Lie => Ok(location),
                    fault => Err(failure(fault, &location)),
                }
            }
        });
        checked.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let place = prefix.cloned().unwrap_or_default();
        match self.decide(Operation::List, &place) {
            Fault::None | Fault::FlipBit(_) => self.inner.list(prefix),
            Fault::Lie => stream::empty().boxed(),
            fault => stream::once(async move { Err(failure(fault, &place)) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
