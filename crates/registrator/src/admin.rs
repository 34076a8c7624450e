//! Answers those who ask a running registrator: over a unix socket, and over HTTP if that is wanted.
//!
//! The event loop owns all state. What is asked becomes a [`Question`], which it answers between two events; nothing is published or
//! kept for those who do not ask.

mod api;
mod feed;
mod guard;
mod listen;
mod meters;
mod metrics;
mod page;
mod status;
mod timed;

pub use feed::Feed;
pub use listen::{Listeners, SocketPlace, bind};
pub use meters::Meters;
pub use status::{LISTED, Status};

use registrator_core::reconciler::{Asked, Unfound};
use registrator_core::tell::explanation::Explanation;
use registrator_core::tell::snapshot::{BrakeState, ContainerLine, NodeFilter, NodePage};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// How many questions wait for the event loop at once. The others wait before they are asked.
const WAITING: usize = 2;

/// What is asked of the event loop, and where its answer goes. Whoever asked may be gone.
#[derive(Debug)]
pub enum Question {
    /// Why something is as it is.
    Explain(Asked, oneshot::Sender<Result<Explanation, Unfound>>),
    /// How it all is.
    Status(oneshot::Sender<Status>),
    /// The same, with what was counted.
    Metrics(oneshot::Sender<(Box<Status>, Box<Meters>)>),
    /// Some nodes: which, behind which, and how many.
    Nodes(NodeFilter, String, usize, oneshot::Sender<NodePage>),
    /// Some containers: with what in their names, behind which, and how many.
    Containers(
        String,
        String,
        usize,
        oneshot::Sender<(Vec<ContainerLine>, bool)>,
    ),
    /// What the brake holds back, with the first keys.
    Brake(oneshot::Sender<(Option<BrakeState>, Vec<String>)>),
    /// To let go of that. Who asked is logged.
    ReleaseBrake(String, oneshot::Sender<usize>),
    /// Whether it is there at all.
    Ping(oneshot::Sender<()>),
}

/// Asks the event loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Asking {
    to: Sender<Question>,
    /// What was told lately.
    pub feed: Feed,
    /// What reads a key that this host has nothing to do with.
    pub reader: Arc<crate::etcd::KeyReader>,
}

/// The event loop's end.
pub type Questions = Receiver<Question>;

/// A way to ask, and where what is asked arrives.
pub fn questions(feed: Feed, reader: crate::etcd::KeyReader) -> (Asking, Questions) {
    let (to, from) = channel(WAITING);
    let reader = Arc::new(reader);
    (Asking { to, feed, reader }, from)
}

impl Asking {
    /// Asks, and waits for the answer. `None` if the event loop has ended.
    pub async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.to.send(question(sender)).await.ok()?;
        answer.await.ok()
    }
}
