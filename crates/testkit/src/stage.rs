//! One operation at a time, in an order that a seed decides.
//!
//! Each actor runs the real code on threads of its own, against objects that belong to a
//! [`Stage`]. A call on an object waits until the stage lets it go on; the stage lets one call
//! go on at a time, and only once nothing else in the process moves. A run is then a sequence of
//! choices between actors, and the seed repeats it.
//!
//! A listing is two calls: what sorts below some name is seen at the first, all else at the
//! second, as a target that hands out pages does.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::calm::Calm;
use crate::{Operation, Rng};

/// A call that was let go on.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose call it was.
    pub actor: usize,
    /// What was asked for.
    pub operation: Operation,
    /// The object, or the folder of a listing.
    pub path: String,
}

/// Somebody who works on the objects.
pub struct Actor<'a> {
    name: String,
    run: Box<dyn FnOnce(Arc<dyn ObjectStore>) + Send + 'a>,
}

impl<'a> Actor<'a> {
    /// An actor that does `run` with the objects it is given.
    pub fn new(
        name: impl Into<String>,
        run: impl FnOnce(Arc<dyn ObjectStore>) + Send + 'a,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    step: Step,
}

#[derive(Debug, Default)]
struct Board {
    waiting: Vec<Waiting>,
    /// The call that may go on.
    granted: Option<u64>,
    tickets: u64,
    ended: Vec<usize>,
    /// After a failed check nothing is waited for any more.
    open: bool,
}

#[derive(Debug, Default)]
struct Gate {
    board: Mutex<Board>,
    moved: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this call's turn.
    fn pass(&self, actor: usize, operation: Operation, path: &str) {
        let mut board = self.lock();
        let ticket = board.tickets;
        board.tickets += 1;
        let step = Step { actor, operation, path: path.to_owned() };
        board.waiting.push(Waiting { ticket, step });
        while !board.open && board.granted != Some(ticket) {
            board = self.moved.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        board.granted = None;
        board.waiting.retain(|waiting| waiting.ticket != ticket);
    }
}

/// How the stage chooses.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// Anybody, at each step.
    Even,
    /// Mostly whoever was chosen before.
    Bursts,
    /// By rank; at a few steps the highest falls behind all others.
    Ranks,
    /// One stands still from some step on until all others have ended.
    Frozen { who: usize, from: u64 },
}

/// The scheduler of one run.
#[derive(Debug)]
pub struct Stage {
    objects: Arc<dyn ObjectStore>,
    gate: Arc<Gate>,
    fixed: &'static [&'static str],
    rng: Rng,
}

impl Stage {
    /// Actors on `objects`, in the order of `seed`.
    pub fn new(objects: Arc<dyn ObjectStore>, seed: u64) -> Self {
        Self { objects, gate: Arc::default(), fixed: &[], rng: Rng::new(seed) }
    }

    /// No actor changes objects whose names begin so: reading them is no step.
    #[must_use]
    pub fn fixed(mut self, prefixes: &'static [&'static str]) -> Self {
        self.fixed = prefixes;
        self
    }

    /// Runs all actors to their end. `check` is called after each step, while nothing moves, and
    /// may break off. Returns the steps, and the actors' names in the order of their numbers.
    /// Panics if the actors wait for each other.
    ///
    /// Only one stage may run in a process at a time.
    pub fn run(
        mut self,
        actors: Vec<Actor<'_>>,
        mut check: impl FnMut(&Step) -> ControlFlow<()>,
    ) -> (Vec<Step>, Vec<String>) {
        let names: Vec<String> = actors.iter().map(|actor| actor.name.clone()).collect();
        let mut steps: Vec<Step> = Vec::new();
        thread::scope(|scope| {
            for (number, actor) in actors.into_iter().enumerate() {
                let (gate, inner) = (Arc::clone(&self.gate), Arc::clone(&self.objects));
                let (rng, fixed) = (Mutex::new(Rng::new(self.rng.number())), self.fixed);
                scope.spawn(move || {
                    let ending = Ending { gate: Arc::clone(&gate), actor: number };
                    let staged = Staged { inner, gate, actor: number, fixed, rng };
                    (actor.run)(Arc::new(staged));
                    drop(ending);
                });
            }
            let count = names.len();
            let style = self.style(count);
            let mut ranks: Vec<u64> = (0..count).map(|_| self.rng.number()).collect();
            let mut calm = Calm::new();
            calm.wait();
            loop {
                let gate = Arc::clone(&self.gate);
                let mut board = gate.lock();
                if board.ended.len() == count {
                    break;
                }
                assert!(!board.waiting.is_empty(), "the actors wait for each other: {steps:?}");
                board.waiting.sort_by(|a, b| {
                    (a.step.actor, &a.step.path, a.ticket).cmp(&(
                        b.step.actor,
                        &b.step.path,
                        b.ticket,
                    ))
                });
                let last = steps.last().map(|step| step.actor);
                let who = self.choose(style, &mut ranks, &board, steps.len() as u64, last);
                let own = board.waiting.iter().filter(|waiting| waiting.step.actor == who);
                let own: Vec<_> = own.map(|waiting| (waiting.ticket, &waiting.step)).collect();
                let Some((ticket, step)) = own.get(self.rng.below(own.len() as u64) as usize)
                else {
                    continue;
                };
                let (ticket, step) = (*ticket, (*step).clone());
                board.granted = Some(ticket);
                drop(board);
                gate.moved.notify_all();
                calm.wait();
                let broken = check(&step).is_break();
                steps.push(step);
                if broken {
                    self.gate.lock().open = true;
                    self.gate.moved.notify_all();
                    break;
                }
            }
        });
        (steps, names)
    }

    fn style(&mut self, count: usize) -> Style {
        match self.rng.below(5) {
            0 => Style::Even,
            1 => Style::Bursts,
            2 => Style::Ranks,
            _ => {
                let who = self.rng.below(count as u64) as usize;
                Style::Frozen { who, from: self.rng.below(60) }
            }
        }
    }

    fn choose(
        &mut self,
        style: Style,
        ranks: &mut [u64],
        board: &Board,
        step: u64,
        last: Option<usize>,
    ) -> usize {
        let mut able: Vec<usize> = board.waiting.iter().map(|w| w.step.actor).collect();
        able.dedup();
        let any = self.rng.below(able.len() as u64) as usize;
        let any = able.get(any).copied().unwrap_or_default();
        match style {
            Style::Even => any,
            Style::Bursts => {
                let stay = last.filter(|last| able.contains(last) && self.rng.below(10) > 0);
                stay.unwrap_or(any)
            }
            Style::Ranks => {
                let rank = |who: &usize| ranks.get(*who).copied().unwrap_or_default();
                let first = able.iter().copied().max_by_key(rank).unwrap_or(any);
                if self.rng.below(30) == 0
                    && let Some(rank) = ranks.get_mut(first)
                {
                    *rank = u64::MAX / 2 - step;
                }
                first
            }
            Style::Frozen { who, from } => {
                able.retain(|other| step < from || *other != who);
                let other = self.rng.below(able.len() as u64) as usize;
                able.get(other).copied().unwrap_or(any)
            }
        }
    }
}

struct Ending {
    gate: Arc<Gate>,
    actor: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.gate.lock().ended.push(self.actor);
    }
}

/// The objects as one actor sees them.
struct Staged {
    inner: Arc<dyn ObjectStore>,
    gate: Arc<Gate>,
    actor: usize,
    fixed: &'static [&'static str],
    rng: Mutex<Rng>,
}

impl Staged {
    fn pass(&self, operation: Operation, path: &Path) {
        if !self.is_fixed(path) {
            self.gate.pass(self.actor, operation, path.as_ref());
        }
    }

    /// What nobody changes can be read at any time with the same outcome.
    fn is_fixed(&self, path: &Path) -> bool {
        self.fixed.iter().any(|prefix| path.as_ref().starts_with(prefix))
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Staged({}, {:?})", self.actor, self.inner)
    }
}

impl fmt::Display for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of actor {}", self.inner, self.actor)
    }
}

#[async_trait]
impl ObjectStore for Staged {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.pass(Operation::Put, location);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(missing("multipart upload"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass(Operation::Get, location);
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (gate, actor) = (Arc::clone(&self.gate), self.actor);
        let waited = locations.map_ok(move |location| {
            gate.pass(actor, Operation::Delete, location.as_ref());
            location
        });
        self.inner.delete_stream(waited.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (gate, actor) = (Arc::clone(&self.gate), self.actor);
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned().unwrap_or_default());
        if self.is_fixed(&prefix) {
            return inner.list(Some(&prefix));
        }
        let pivot = self.rng.lock().unwrap_or_else(PoisonError::into_inner).number();
        let both = async move {
            let mut found = Vec::new();
            for upper in [false, true] {
                gate.pass(actor, Operation::List, prefix.as_ref());
                let all: Vec<_> = inner.list(Some(&prefix)).try_collect().await?;
                found.extend(all.into_iter().filter(|meta| (order(meta) >= pivot) == upper));
            }
            Ok::<_, Error>(stream::iter(found.into_iter().map(Ok::<_, Error>)))
        };
        stream::once(both).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(missing("listing of one level"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(missing("copy"))
    }
}

/// Where an object stands among those of its folder: names are mostly random digits.
fn order(meta: &ObjectMeta) -> u64 {
    let name = meta.location.filename().unwrap_or_default();
    let mut hash = blake3::hash(name.as_bytes()).as_bytes().to_vec();
    hash.truncate(8);
    u64::from_le_bytes(hash.try_into().unwrap_or_default())
}

fn missing(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "staged objects".to_owned(),
    }
}
