//! Bounds on connections: how many there are, how much a request's head may hold, and how long one
//! may say or take nothing.
//!
//! A connection costs memory before any request on it can be judged, so the number is bounded where
//! connections are accepted, in all and for one address: nobody can take all places. One too many
//! is closed at once: clients try again, and those that are being served are not slowed down.
//!
//! Silence is bounded in both directions. Whoever opens a connection has [`HEAD`] to send the first
//! bytes, and again for each head of a request on HTTP/1; whoever reads nothing of what is sent
//! loses the connection after [`STALL`]. On HTTP/2 a ping is answered or the connection ends.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use futures::future::BoxFuture;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use crate::config::Wire;

/// A client has so long to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes by which the version of HTTP is known; no request is shorter.
const FIRST: usize = 24;
/// A client that takes nothing of what is sent is given up after so long.
const STALL: Duration = Duration::from_secs(60);
/// Idle HTTP/2 connections are asked so often whether anybody is there.
const PING: Duration = Duration::from_secs(30);
/// And are closed when no answer comes within this time.
const PONG: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Requests that an HTTP/2 client may take back before they were begun; then the connection ends
/// (CVE-2023-44487).
const RESETS: usize = 20;
/// Streams that we had to end for a client's faults; then the connection ends.
const FAULTS: usize = 256;
/// Lines of a request's head.
const HEADERS: usize = 100;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;

/// Bounds the server's connections.
pub(super) fn bounded<A: axum_server::Address, T>(
    mut server: Server<A, T>,
    wire: &Wire,
) -> Server<A, Bounded<T>> {
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(FAULTS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let all = Arc::new(Semaphore::new(wire.max_connections));
    let addresses =
        Arc::new(Addresses { most: wire.max_connections_per_address, open: Mutex::default() });
    server.map(|inner| Bounded { inner, all, addresses })
}

/// Where a connection comes from.
pub(super) trait Peer {
    /// The address, if it is still known.
    fn peer(&self) -> Option<IpAddr>;
}

impl Peer for TcpStream {
    fn peer(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|address| address.ip().to_canonical())
    }
}

/// Open connections by address; there are no more entries than connections.
#[derive(Debug)]
struct Addresses {
    most: usize,
    open: Mutex<HashMap<Option<IpAddr>, usize>>,
}

/// A place among the connections of one address.
struct Place {
    addresses: Arc<Addresses>,
    peer: Option<IpAddr>,
    _all: OwnedSemaphorePermit,
}

impl Place {
    fn take(
        all: &Arc<Semaphore>,
        addresses: &Arc<Addresses>,
        peer: Option<IpAddr>,
    ) -> Result<Place, &'static str> {
        let permit = Arc::clone(all).try_acquire_owned();
        let permit = permit.map_err(|_| "wire.max_connections are open")?;
        let mut open = addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= addresses.most {
            return Err("wire.max_connections_per_address are open");
        }
        *count += 1;
        drop(open);
        Ok(Place { addresses: Arc::clone(addresses), peer, _all: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// Accepts while there is a place left.
#[derive(Clone)]
pub(super) struct Bounded<A> {
    inner: A,
    all: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl<A, I, S> Accept<I, S> for Bounded<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
    A::Stream: Send,
    A::Service: Send,
    I: Peer + Send + 'static,
    S: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = match Place::take(&self.all, &self.addresses, stream.peer()) {
            Ok(place) => place,
            Err(why) => {
                tracing::warn!("a connection was refused: {why}");
                return Box::pin(async { Err(io::Error::other("too many connections")) });
            }
        };
        let accepting = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            Ok((Held::new(stream, place), service))
        })
    }
}

/// A connection that gives its place back when it ends, and ends when its client is silent.
pub(super) struct Held<S> {
    stream: S,
    /// Until the first bytes have come: when they must have.
    opening: Option<Pin<Box<Sleep>>>,
    read: usize,
    /// While the client takes nothing: when it must have.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<S> Held<S> {
    fn new(stream: S, place: Place) -> Held<S> {
        let opening = Some(Box::pin(sleep(HEAD)));
        Held { stream, opening, read: 0, stalled: None, _place: place }
    }

    /// Gives a stalled writer up in time.
    fn moving<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(context, buf);
        if self.opening.is_some() {
            let new = buf.filled().len().saturating_sub(before);
            self.read = self.read.saturating_add(new);
            if self.read >= FIRST {
                self.opening = None;
            }
        }
        if let (Poll::Pending, Some(opening)) = (&done, &mut self.opening)
            && opening.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, buf);
        self.moving(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.moving(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        self.moving(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.moving(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
