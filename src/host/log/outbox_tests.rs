use super::*;
use crate::logfile::Stream;
use std::sync::Arc;

/// Returns text that can hardly be compressed.
fn flakiness(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn chunk(offset: u64, text: &[u8]) -> Chunk {
    Chunk::of(offset, Stream::Stdout, 7, text.to_vec().into())
}

async fn text(outbox: &Outbox) -> (u64, Vec<u8>) {
    let next = outbox.next().await.unwrap().unwrap();
    let chunk = frame::decode(&next.frame).unwrap();
    assert_eq!((chunk.offset, chunk.end()), (next.from, next.until));
    (next.until, chunk.text.to_vec())
}

#[tokio::test]
async fn what_is_not_on_the_coordinators_disk_is_sent_again_when_it_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(folder.path().join("a"));
    outbox.push(&chunk(0, b"one ")).await.unwrap();
    outbox.push(&chunk(4, b"two ")).await.unwrap();
    assert_eq!(text(&outbox).await, (4, b"one ".to_vec()));
    outbox.taken(4, 0).await;
    assert_eq!(text(&outbox).await.1, b"two ");
    // its machine lost power
    outbox.back_to(0).await.unwrap();
    assert_eq!(text(&outbox).await.1, b"one ");
    outbox.taken(4, 4).await;
    outbox.taken(8, 4).await;
    assert!(
        outbox.back_to(2).await.is_err(),
        "what it had on its disk is here no more"
    );
    outbox.close().await;
    assert!(outbox.next().await.unwrap().is_none());
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn a_coordinator_that_is_slow_holds_up_the_writer_and_one_that_is_away_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Outbox::new(folder.path().join("a")));
    let size = 1 << 20;
    let writer = {
        let outbox = outbox.clone();
        tokio::spawn(async move {
            for n in 0..30u64 {
                let chunk = chunk(n * size as u64, &flakiness(n, size));
                outbox.push(&chunk).await.unwrap();
            }
            outbox.close().await;
        })
    };
    // it accepts one chunk after the other: nothing goes to the disk
    for n in 0..8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (until, text) = text(&outbox).await;
        assert_eq!(text, flakiness(n, size));
        assert!(outbox.state.lock().await.memory <= MEMORY + size);
        outbox.taken(until, until).await;
    }
    assert!(!folder.path().join("a").exists() && !writer.is_finished());
    // it accepts nothing any more: the writer ends
    writer.await.unwrap();
    assert!(folder.path().join("a/log.zst").exists());
    assert_eq!(outbox.state.lock().await.memory, 0);
    // it is back
    let mut n = 8;
    while let Some(next) = outbox.next().await.unwrap() {
        assert_eq!(frame::decode(&next.frame).unwrap().text, flakiness(n, size));
        outbox.taken(next.until, next.until).await;
        n += 1;
    }
    assert_eq!(n, 30);
    assert!(!folder.path().join("a").exists(), "the spool is left");
}

#[tokio::test]
async fn what_an_earlier_life_kept_is_found_and_what_is_torn_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    assert!(Outbox::left(path.clone()).await.unwrap().is_none());
    let outbox = Outbox::new(path.clone());
    outbox.push(&chunk(100, b"one ")).await.unwrap();
    outbox.away().await;
    outbox.push(&chunk(104, b"two ")).await.unwrap();
    outbox.push(&chunk(108, b"torn")).await.unwrap();
    drop(outbox);
    let file = std::fs::OpenOptions::new().write(true).open(path.join(FILE)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let left = Outbox::left(path.clone()).await.unwrap().unwrap();
    for (wanted, end) in [(b"one ", 104), (b"two ", 108)] {
        assert_eq!(text(&left).await, (end, wanted.to_vec()));
        left.taken(end, end).await;
    }
    assert!(left.next().await.unwrap().is_none());
    left.clear().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_lost_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(folder.path().join("a"));
    outbox.push(&chunk(0, b"one ")).await.unwrap();
    outbox.away().await;
    outbox.lose("the lease is gone").await;
    let refused = outbox.push(&chunk(4, b"two ")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the lease is gone");
    assert!(!folder.path().join("a").exists());
}
