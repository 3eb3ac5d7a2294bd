//! Places of connections, and clients that say or take nothing. The clock moves by itself while
//! everybody waits.

use axum_server::accept::DefaultAcceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A connection from an address.
struct From(DuplexStream, IpAddr);

impl Peer for From {
    fn peer(&self) -> Option<IpAddr> {
        Some(self.1)
    }
}

fn from(last: u8) -> (From, DuplexStream) {
    let (ours, theirs) = duplex(64);
    (From(ours, [10, 0, 0, last].into()), theirs)
}

fn acceptor(all: usize, most: usize) -> Bounded<DefaultAcceptor> {
    let addresses = Arc::new(Addresses { most, open: Mutex::default() });
    Bounded { inner: DefaultAcceptor::new(), all: Arc::new(Semaphore::new(all)), addresses }
}

fn held(last: u8) -> (Held<DuplexStream>, DuplexStream) {
    let acceptor = acceptor(1, 1);
    let (ours, theirs) = from(last);
    let place = Place::take(&acceptor.all, &acceptor.addresses, ours.peer()).unwrap();
    (Held::new(ours.0, place), theirs)
}

#[tokio::test]
async fn a_place_is_free_again_when_its_connection_ends() {
    let acceptor = acceptor(1, 9);
    let (first, _) = acceptor.accept(from(1).0, ()).await.unwrap();
    assert!(acceptor.accept(from(2).0, ()).await.is_err());
    drop(first);
    assert!(acceptor.accept(from(2).0, ()).await.is_ok());
    assert_eq!(acceptor.all.available_permits(), 1);
    assert!(acceptor.addresses.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let acceptor = acceptor(3, 2);
    let first = acceptor.accept(from(1).0, ()).await.unwrap();
    let _second = acceptor.accept(from(1).0, ()).await.unwrap();
    assert!(acceptor.accept(from(1).0, ()).await.is_err());
    assert!(acceptor.accept(from(2).0, ()).await.is_ok());
    drop(first);
    assert!(acceptor.accept(from(1).0, ()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_given_up() {
    for first in [&b""[..], b"GET / HTTP/1.1"] {
        let (mut held, mut theirs) = held(1);
        theirs.write_all(first).await.unwrap();
        let mut heard = vec![0; 100];
        let mut total = 0;
        let error = loop {
            match held.read(&mut heard).await {
                Ok(count) => total += count,
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), total), (io::ErrorKind::TimedOut, first.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_spoken_may_be_silent_between_requests() {
    let (mut held, mut theirs) = held(1);
    theirs.write_all(&[b'x'; FIRST]).await.unwrap();
    let mut heard = [0; FIRST];
    held.read_exact(&mut heard).await.unwrap();
    let late = tokio::spawn(async move {
        tokio::time::sleep(HEAD * 10).await;
        theirs.write_all(b"y").await.unwrap();
        theirs
    });
    assert_eq!(held.read_u8().await.unwrap(), b'y');
    late.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let (mut stuck, _theirs) = held(1);
    let error = stuck.write_all(&[0; 1000]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    let (mut slow, mut theirs) = held(2);
    let reading = tokio::spawn(async move {
        let mut some = [0; 50];
        for _ in 0..20 {
            tokio::time::sleep(STALL * 2 / 3).await;
            theirs.read_exact(&mut some).await.unwrap();
        }
    });
    slow.write_all(&[0; 1000]).await.unwrap();
    reading.await.unwrap();
}
