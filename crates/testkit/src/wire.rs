//! A network that fails on purpose: a proxy in front of a real HTTP server.
//!
//! Each request travels on a connection of its own and meets the fault that a plan picks for it.
//! The proxy knows of HTTP only where a request ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// It passes.
    None,
    /// The connection is closed before anything is forwarded.
    Reset,
    /// The server does it, and the answer is thrown away.
    DropReply,
    /// The server does it, and the answer is held back until the client gives up.
    HoldReply,
    /// The server does it, and the connection is closed in the middle of the answer.
    CutReply,
    /// The server gets half of the body and then the connection is closed.
    CutBody,
    /// The proxy answers with this status; the server hears nothing.
    Answer(u16),
    /// There is never an answer; the server hears nothing.
    Silence,
}

/// What a plan is told of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRequest {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Number of requests before this one.
    pub number: u64,
}

type Plan = dyn Fn(&WireRequest) -> WireFault + Send + Sync;

/// A proxy on a free port of the loopback, for as long as the process lives.
pub struct Wire {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Wire {
    /// Starts a proxy in front of `server`.
    pub fn new(
        server: SocketAddr,
        plan: impl Fn(&WireRequest) -> WireFault + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (plan, requests): (Arc<Plan>, _) = (Arc::new(plan), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (plan, counter) = (Arc::clone(&plan), Arc::clone(&counter));
                // A connection that breaks is what this is about: nothing to report.
                std::thread::spawn(move || drop(serve(client, server, &plan, &counter)));
            }
        });
        Ok(Self { address, requests })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that have come so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.address)
    }
}

/// Longest head of a request.
const HEAD: usize = 64 << 10;

fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    plan: &Arc<Plan>,
    requests: &AtomicU64,
) -> io::Result<()> {
    let (head, early) = read_head(&mut client)?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let number = requests.fetch_add(1, Ordering::SeqCst);
    let fault = plan(&WireRequest { method, target, number });
    let length = content_length(&text);
    let rest = length.saturating_sub(early.len() as u64);
    match fault {
        WireFault::Reset => return client.shutdown(Shutdown::Both),
        WireFault::Answer(status) => {
            // The whole request is taken first: a client that still writes would see a reset.
            io::copy(&mut (&client).take(rest), &mut io::sink())?;
            let body = "<Error><Code>SlowDown</Code></Error>";
            let length = body.len();
            write!(client, "HTTP/1.1 {status} Fault\r\nContent-Length: {length}\r\n")?;
            write!(client, "Connection: close\r\n\r\n{body}")?;
            return client.shutdown(Shutdown::Both);
        }
        WireFault::Silence => {
            io::copy(&mut client, &mut io::sink())?;
            return Ok(());
        }
        _ => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&closing(&text))?;
    if fault == WireFault::CutBody {
        let half = early.get(..early.len() / 2).unwrap_or_default();
        upstream.write_all(half)?;
        io::copy(&mut (&client).take(rest / 2), &mut upstream)?;
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    upstream.write_all(&early)?;
    io::copy(&mut (&client).take(rest), &mut upstream)?;
    match fault {
        WireFault::DropReply | WireFault::HoldReply | WireFault::CutReply => {
            let mut reply = Vec::new();
            upstream.read_to_end(&mut reply)?;
            if fault == WireFault::HoldReply {
                io::copy(&mut client, &mut io::sink())?;
            }
            let kept = if fault == WireFault::CutReply { cut(&reply) } else { 0 };
            client.write_all(reply.get(..kept).unwrap_or_default())?;
        }
        _ => {
            io::copy(&mut upstream, &mut client)?;
        }
    }
    client.shutdown(Shutdown::Both)
}

/// Reads to the end of the head; what came after it is returned too.
fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while head.len() < HEAD {
        let count = client.read(&mut piece)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let early = head.split_off(end + 4);
            return Ok((head, early));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn content_length(head: &str) -> u64 {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// The head with a request to close the connection afterwards: the answer ends with it.
fn closing(head: &str) -> Vec<u8> {
    let kept = head.trim_end().lines().filter(|line| {
        let name = line.split_once(':').map(|(name, _)| name).unwrap_or_default();
        !name.eq_ignore_ascii_case("connection")
    });
    let lines = kept.chain(["connection: close", "", ""]);
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

/// How much of an answer is left when it is cut in its middle: the head and half of the body, or
/// half of the head if there is no body.
fn cut(reply: &[u8]) -> usize {
    let head = reply.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    match reply.len() - head {
        0 => head / 2,
        body => head + body / 2,
    }
}
