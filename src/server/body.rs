//! Bodies with limits: a request's body has to arrive in time, and a response's body holds a value until it ends.

use super::patience::Patience;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The body of a request. It ends with an error if it arrives too slowly.
pub struct Timely<B> {
    body: B,
    silence: Duration,
    /// When the whole body has to be here.
    end: Instant,
    /// When the next part has to be here. The timer runs only while a task waits for the part.
    next: Option<Pin<Box<Sleep>>>,
    is_late: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    #[error("the body of the request came too slowly")]
    Late,
    #[error(transparent)]
    Broken(E),
}

impl<B> Timely<B> {
    /// Wraps a body. Sets `is_late` if the body arrives too slowly, which changes the response.
    pub fn new(body: B, patience: Patience, is_late: Arc<AtomicBool>) -> Self {
        Self {
            body,
            silence: patience.body_silence,
            end: Instant::now() + patience.body,
            next: None,
            is_late,
        }
    }
}

impl<B: Body + Unpin> Body for Timely<B> {
    type Data = B::Data;
    type Error = BodyError<B::Error>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.next = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        let deadline = this.end.min(Instant::now() + this.silence);
        let next = this
            .next
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match next.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                this.is_late.store(true, Ordering::SeqCst);
                Poll::Ready(Some(Err(BodyError::Late)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, with a value that is held until it was sent.
pub struct Holding<B, T> {
    pub body: B,
    pub _held: T,
}

impl<B: Body + Unpin, T: Unpin> Body for Holding<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
