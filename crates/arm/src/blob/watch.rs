//! A body that gives its place among the transfers back when nobody reads it.
//!
//! A place is held while bytes move. A client that stops to read would hold it until its socket
//! dies, which it decides itself; so each body is watched: when no piece was asked for in
//! [`PATIENCE`], the place is free again, and the next piece is an error that breaks the
//! connection off. Pieces are small, so that a slow line that moves is not taken for one that
//! stands: it has to read [`PIECE`] in that time.

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How long a reader may ask for nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that go out at one time.
const PIECE: usize = 256 << 10;

type Parts = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
type Place = Arc<Mutex<Option<OwnedSemaphorePermit>>>;

struct Watched {
    parts: Parts,
    rest: Bytes,
    place: Seat,
    /// Tells that a piece was asked for, and whether it is being read for the client; the watch
    /// ends when this is dropped.
    asked: watch::Sender<bool>,
}

/// The body's hold of its place.
struct Seat(Place);

impl Seat {
    fn is_lost(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A body of these parts, which holds the place until it ends or nobody reads it.
pub(super) fn body(
    parts: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    place: OwnedSemaphorePermit,
    patience: Duration,
) -> Body {
    let place = Arc::new(Mutex::new(Some(place)));
    let (asked, asking) = watch::channel(false);
    tokio::spawn(keep(Arc::clone(&place), asking, patience));
    let watched = Watched { parts: Box::pin(parts), rest: Bytes::new(), place: Seat(place), asked };
    Body::from_stream(stream::try_unfold(watched, Watched::next))
}

/// Takes the place away once nothing was asked for in time.
async fn keep(place: Place, mut asking: watch::Receiver<bool>, patience: Duration) {
    loop {
        match tokio::time::timeout(patience, asking.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            // It is our own disk that is slow.
            Err(_) if *asking.borrow() => {}
            Err(_) => break,
        }
    }
    place.lock().unwrap_or_else(PoisonError::into_inner).take();
    tracing::warn!("a reader of pages stands still; its place is given to others");
}

impl Watched {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        self.asked.send_replace(true);
        if self.rest.is_empty() {
            match self.parts.next().await {
                Some(part) => self.rest = part?,
                None => return Ok(None),
            }
        }
        self.asked.send_replace(false);
        if self.place.is_lost() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the reader stood still"));
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Ok(Some((piece, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    fn parts(count: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::iter((0..count).map(|_| Ok(Bytes::from(vec![7; PIECE + 1]))))
    }

    async fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(places).acquire_owned().await.unwrap()
    }

    /// The clock moves by itself while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_gives_its_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let mut body = body(parts(4), place(&places).await, PATIENCE);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE);
        assert_eq!(places.available_permits(), 0);
        // The next one gets it although this body is still there.
        drop(place(&places).await);
        let late = body.frame().await.unwrap().unwrap_err();
        assert!(format!("{late:?}").contains("stood still"), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_that_moves_is_served() {
        let places = Arc::new(Semaphore::new(1));
        let mut body = body(parts(4), place(&places).await, PATIENCE);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(PATIENCE * 2 / 3).await;
        }
        assert_eq!(bytes, 4 * (PIECE + 1));
        drop(body);
        assert_eq!(places.available_permits(), 1);
    }
}
