//! Expectations: the behaviour of each phase.

use super::{Behaviour, Expectation, FakeRuntime};
use crate::logfile::Stream;
use crate::runtime::{Container, Network, Output};
use futures_util::stream;

/// Returns the output of a container, stdout first.
pub(super) fn output(
    prints: Vec<u8>,
    complains: Vec<u8>,
) -> impl stream::Stream<Item = std::io::Result<Output>> + Send + 'static {
    let written = [(Stream::Stdout, prints), (Stream::Stderr, complains)];
    stream::iter(written.map(|(stream, text)| {
        Ok(Output {
            stream,
            bytes: text.into(),
        })
    }))
}

/// Returns the behaviour and the output of a container that is no phase. It prints that it is ready. The gateway serves
/// until it is removed, and all others end by themselves.
pub(super) fn serving(container: &Container) -> (Behaviour, Vec<u8>, Vec<u8>) {
    let behaviour = match container.network {
        Network::Open(_) => Behaviour::Hangs,
        Network::Loopback | Network::SharedLoopback(_) => Behaviour::Exits(0),
    };
    (behaviour, b"ready\n".to_vec(), Vec::new())
}

impl FakeRuntime {
    /// Returns the last container that was created for a phase.
    pub fn made(&self, phase: &str) -> Option<Container> {
        self.state().phases.get(phase).cloned()
    }

    /// Returns the containers that were created to serve phases, in order.
    pub fn served(&self) -> Vec<Container> {
        self.state().served.clone()
    }

    /// Returns the commands that `exec` started in running containers.
    pub fn executed(&self) -> Vec<String> {
        self.state().executed.clone()
    }
}

/// The expectation of one phase, which [`FakeRuntime::expect`] returns.
pub struct Expect<'a> {
    pub(super) runtime: &'a FakeRuntime,
    pub(super) at: usize,
}

impl Expect<'_> {
    fn set(self, change: impl FnOnce(&mut Expectation)) -> Self {
        if let Some(expectation) = self.runtime.state().expected.get_mut(self.at) {
            change(expectation);
        }
        self
    }

    pub fn exits(self, code: i64) -> Self {
        self.set(|e| e.behaviour = Behaviour::Exits(code))
    }

    pub fn oom(self) -> Self {
        self.set(|e| e.behaviour = Behaviour::OutOfMemory)
    }

    pub fn hangs(self) -> Self {
        self.set(|e| e.behaviour = Behaviour::Hangs)
    }

    pub fn loses_engine(self) -> Self {
        self.set(|e| e.behaviour = Behaviour::LosesEngine)
    }

    pub fn prints(self, bytes: &[u8]) -> Self {
        self.set(|e| e.prints = bytes.to_vec())
    }

    /// Makes the phase write to stderr, after everything on stdout.
    pub fn complains(self, bytes: &[u8]) -> Self {
        self.set(|e| e.complains = bytes.to_vec())
    }
}
