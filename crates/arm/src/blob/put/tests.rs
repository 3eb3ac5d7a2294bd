//! How the body of a Put Page arrives.

use super::*;
use futures::stream;
use std::convert::Infallible;

#[tokio::test]
async fn a_silent_body_is_given_up_with_what_clients_try_again() {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(&[1; 512]))]);
    let body = Body::from_stream(futures::StreamExt::chain(first, stream::pending()));
    let fault = receive(body, 1024, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.code), (408, "OperationTimedOut"));
}

/// The clock moves by itself while everybody waits.
#[tokio::test(start_paused = true)]
async fn a_slow_body_that_moves_is_taken() {
    // All parts together take longer than the silence that is allowed, none of them alone does.
    let parts = stream::unfold(0_u8, |at| async move {
        tokio::time::sleep(SILENCE * 2 / 3).await;
        (at < 3).then(|| (Ok::<_, Infallible>(Bytes::from(vec![at; 512])), at + 1))
    });
    let got = receive(Body::from_stream(parts), 1536, SILENCE).await.unwrap();
    assert_eq!(got, [[0; 512], [1; 512], [2; 512]].concat());
}

#[tokio::test]
async fn a_body_is_bounded_and_whole() {
    let long = vec![0; usize::try_from(PART).unwrap() + 1];
    let fault = receive(Body::from(long), 512, SILENCE).await.unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.code), (400, "IncompleteBody"));
    let cut = stream::iter([Ok(Bytes::from_static(&[1; 512])), Err(std::io::Error::other("cut"))]);
    let fault = receive(Body::from_stream(cut), 1024, SILENCE).await.unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.code), (400, "IncompleteBody"));
}
