//! One session with the daemon: from an open event stream until it is lost.

use std::collections::{BTreeSet, VecDeque};
use std::future::{pending, ready};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use registrator_core::observe::container::{Container, ContainerId};
use registrator_core::observe::document::Part;
use registrator_core::observe::watch::SourceEvent;
use tokio::time::{Instant, sleep_until};

use super::inspections::{Inspections, Outcome, Ticket, Worth};
use super::outbox::Outbox;
use super::{DockerUpdate, Known, WatchSettings};
use crate::attempts::random;
use crate::docker::api_version::ApiVersion;
use crate::docker::client::DockerClient;
use crate::docker::error::Error;
use crate::docker::event_stream::{EventStream, Hint};

pub(super) struct Session<'a> {
    client: DockerClient,
    events: EventStream,
    settings: &'a WatchSettings,
    known: &'a mut Known,
    outbox: &'a mut Outbox,
    inspections: Inspections,
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    listing: Option<Listing>,
    heard: Instant,
    pinging: bool,
}

/// A list under way. What happens meanwhile is seen to after it.
struct Listing {
    /// Whether the ids are there.
    begun: bool,
    /// The inspects that have begun, in order: a container that does not answer in time is not waited for.
    asked: VecDeque<(Instant, ContainerId)>,
    /// Listed, but not yet inspected.
    remaining: BTreeSet<ContainerId>,
    /// Something happened to these since the list.
    touched: BTreeSet<ContainerId>,
}

enum Answered {
    Listed(Result<Vec<ContainerId>, Error>),
    Inspected(Ticket, Result<Option<Container>, Error>),
    Pinged {
        asked: Instant,
        result: Result<ApiVersion, Error>,
    },
}

enum Step {
    Sent,
    Answer(Answered),
    Hint(Result<Hint, Error>),
    Quiet,
    Asked,
    Tick,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: DockerClient,
        events: EventStream,
        settings: &'a WatchSettings,
        known: &'a mut Known,
        outbox: &'a mut Outbox,
    ) -> Self {
        let now = Instant::now();
        let listing = Listing {
            begun: false,
            asked: VecDeque::new(),
            remaining: BTreeSet::new(),
            touched: BTreeSet::new(),
        };
        Self {
            client,
            events,
            settings,
            known,
            outbox,
            inspections: Inspections::default(),
            answers: FuturesUnordered::new(),
            listing: Some(listing),
            heard: now,
            pinging: false,
        }
    }

    /// Runs until the daemon is lost, and says how. `connected` is called before the list is reported.
    pub(super) async fn run(mut self, connected: impl FnOnce(&mut Outbox)) -> Error {
        let client = self.client.clone();
        self.answers.push(Box::pin(
            async move { Answered::Listed(client.list().await) },
        ));
        let mut connected = Some(connected);
        loop {
            let result = match self.step().await {
                Step::Sent => Ok(()),
                Step::Answer(Answered::Listed(Ok(ids))) => {
                    if let Some(connected) = connected.take() {
                        connected(self.outbox);
                    }
                    self.listed(ids);
                    Ok(())
                }
                Step::Answer(answer) => self.answered(answer),
                Step::Hint(hint) => hint.map(|hint| self.hinted(hint)),
                Step::Quiet => {
                    self.begin_inspects();
                    Ok(())
                }
                Step::Asked => {
                    self.outbox.hurry();
                    Ok(())
                }
                Step::Tick => {
                    self.tick();
                    Ok(())
                }
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    /// Inspects begin when no more events are at hand: the engine tells of one change in several events, as of a start and its
    /// network, and one inspect answers them all. A flood of events does not hold them up. That a container comes is told when the engine is
    /// asked for it, and works at the answer.
    async fn step(&mut self) -> Step {
        let limit = self.inspects_at_once();
        let now = Instant::now();
        if self.inspections.queued() >= limit {
            self.begin_inspects();
        }
        let wake = self.next_wake();
        let Self {
            outbox,
            answers,
            events,
            inspections,
            ..
        } = self;
        let can_inspect = inspections.can_begin(limit, now) && !outbox.is_full();
        let has_unhurried = outbox.has_unhurried();
        tokio::select! {
            biased;
            () = outbox.send_one(), if !outbox.is_empty() => Step::Sent,
            Some(answer) = answers.next() => Step::Answer(answer),
            hint = events.next() => Step::Hint(hint),
            () = tokio::task::yield_now(), if can_inspect => Step::Quiet,
            () = ready(()), if !can_inspect && has_unhurried => Step::Asked,
            () = sleep_until_some(wake) => Step::Tick,
        }
    }

    fn inspects_at_once(&self) -> usize {
        match self.listing {
            Some(_) => self.settings.list_inspects.max(1),
            None => self.settings.event_inspects.max(1),
        }
    }

    fn begin_inspects(&mut self) {
        let (limit, now) = (self.inspects_at_once(), Instant::now());
        while !self.outbox.is_full()
            && let Some(ticket) = self.inspections.next(limit, now)
        {
            if let Some(listing) = &mut self.listing {
                listing.asked.push_back((now, ticket.id.clone()));
            }
            let client = self.client.clone();
            self.answers.push(Box::pin(async move {
                let result = client.inspect(&ticket.id).await;
                Answered::Inspected(ticket, result)
            }));
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let ping = (!self.pinging).then_some(self.heard + self.settings.ping_after);
        let asked = self
            .listing
            .as_ref()
            .and_then(|listing| listing.asked.front());
        let patience = asked.map(|(at, _)| *at + self.settings.list_patience);
        let inspects = [
            self.inspections.next_due(),
            self.inspections.next_place(Instant::now()),
        ];
        let waits = [ping, patience, self.known.stopping.next_end()];
        waits.into_iter().chain(inspects).flatten().min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.inspections.wake(now);
        for survivor in self.known.stopping.take_survivors(now) {
            self.changed(survivor);
        }
        if !self.pinging && now >= self.heard + self.settings.ping_after {
            self.ping();
        }
        self.begin_inspects();
        self.give_up(now);
    }

    fn ping(&mut self) {
        self.pinging = true;
        let (client, asked) = (self.client.clone(), Instant::now());
        self.answers.push(Box::pin(async move {
            Answered::Pinged {
                asked,
                result: client.ping().await,
            }
        }));
    }

    /// The list is there: all of it has to be inspected. Whatever else was known is gone.
    fn listed(&mut self, ids: Vec<ContainerId>) {
        self.heard = Instant::now();
        self.emit(SourceEvent::Init);
        let Some(listing) = &mut self.listing else {
            return;
        };
        listing.begun = true;
        listing.remaining = ids.into_iter().collect();
        for id in &listing.remaining {
            listing.touched.remove(id);
            self.inspections.request(id);
        }
        let is_there =
            |id: &ContainerId| listing.remaining.contains(id) || listing.touched.contains(id);
        self.known.last.retain(|id, _| is_there(id));
        self.known.stopping.retain(is_there);
        self.known.ended.retain(|id| is_there(id));
        self.finish_list_if_complete();
    }

    fn answered(&mut self, answer: Answered) -> Result<(), Error> {
        match answer {
            Answered::Listed(result) => result.map(|ids| self.listed(ids)),
            Answered::Inspected(ticket, result) => {
                self.inspected(&ticket, result);
                Ok(())
            }
            Answered::Pinged { asked, result } => {
                self.pinging = false;
                match result {
                    Err(error) if self.heard <= asked => Err(error),
                    _ => {
                        self.heard = Instant::now();
                        Ok(())
                    }
                }
            }
        }
    }

    fn inspected(&mut self, ticket: &Ticket, result: Result<Option<Container>, Error>) {
        let (id, now) = (&ticket.id, Instant::now());
        let outcome = match result {
            Ok(_) => Outcome::Answered,
            Err(_) => {
                let failures = self.inspections.failures(id);
                Outcome::Failed(self.settings.backoff.jittered(failures, random()))
            }
        };
        let Worth::Fresh { failures } = self.inspections.finish(ticket, outcome, now) else {
            return;
        };
        match result {
            Ok(container) => {
                self.heard = now;
                self.recovered(id);
                match container {
                    Some(container) => self.found(container),
                    None => self.not_found(id),
                }
            }
            Err(error) => self.inspect_failed(id, error, failures),
        }
    }

    fn found(&mut self, container: Container) {
        let shown = self.known.stopping.shown(container, Instant::now());
        self.report(shown.clone());
        self.known.note_unpacked(shown);
    }

    fn report(&mut self, container: Container) {
        let id = container.id().clone();
        self.known.ended.remove(&id);
        self.known.last.insert(id.clone(), container.clone());
        match &mut self.listing {
            Some(listing) => {
                listing.remaining.remove(&id);
                self.emit(SourceEvent::InitApply(container));
                self.finish_list_if_complete();
            }
            None => self.emit(SourceEvent::Apply(container)),
        }
    }

    fn not_found(&mut self, id: &ContainerId) {
        self.known.stopping.forget(id);
        let has_ended = self.known.ended.remove(id);
        if self.known.last.remove(id).is_some() {
            if has_ended {
                self.emit(SourceEvent::Delete(id.clone()));
            } else {
                self.outbox.push(DockerUpdate::Vanished(id.clone()));
            }
        }
        if let Some(listing) = &mut self.listing {
            listing.remaining.remove(id);
            self.finish_list_if_complete();
        }
    }

    /// What was known stays; the inspect itself has been scheduled again.
    fn inspect_failed(&mut self, id: &ContainerId, error: Error, failures: u32) {
        if error.is_transport() && !self.pinging {
            self.ping();
        }
        // A broken connection most often means a lost daemon, which is reported as such.
        let telling = !error.is_transport() || failures > 0;
        if telling && self.known.failing.insert(id.clone()) {
            self.outbox.push(DockerUpdate::InspectFailed {
                id: id.clone(),
                error,
            });
        }
        let listed = self
            .listing
            .as_ref()
            .is_some_and(|listing| listing.remaining.contains(id));
        if listed && let Some(last) = self.known.last.get(id).cloned() {
            self.report(last);
        }
    }

    fn recovered(&mut self, id: &ContainerId) {
        if self.known.failing.remove(id) {
            self.outbox
                .push(DockerUpdate::InspectRecovered { id: id.clone() });
        }
    }

    fn hinted(&mut self, hint: Hint) {
        self.heard = Instant::now();
        match hint {
            Hint::Gone(id) => self.gone(id),
            Hint::Signalled(id, signal) => self.signalled(id, signal),
            Hint::Ended(id, at) => self.ended(id, at),
            Hint::Started(id) => {
                self.known.stopping.forget(&id);
                self.known.ended.remove(&id);
                if !self.known.last.get(&id).is_some_and(Container::running) {
                    let coming = DockerUpdate::Coming(id.clone());
                    self.outbox.push_unhurried(coming);
                }
                self.changed(id);
            }
            Hint::Health(id, status) if self.is_known_health(&id, &status) => {}
            Hint::Health(id, _) | Hint::Changed(id) => self.changed(id),
        }
    }

    /// The container is reported as ended at once: the engine answers no inspect before it has taken the network down, which takes it long,
    /// and most often another event follows soon, which says that the container is started again or gone for good.
    fn ended(&mut self, id: ContainerId, at: Option<u64>) {
        self.known.stopping.ends(&id);
        self.known.ended.insert(id.clone());
        // What inspect showed last may be newer than the event.
        let is_newer =
            |last: &Container| last.running() && at.is_some_and(|at| last.started_after_time(at));
        if self.listing.is_some() {
            return self.changed(id);
        }
        let Some(last) = self.known.last.get_mut(&id) else {
            // An answer that is under way may show the process that has ended.
            self.inspections.forget(&id);
            return self.changed(id);
        };
        if is_newer(last) {
            return self.changed(id);
        }
        if last.running() {
            last.pack();
            *last = last.ended();
        }
        // Also of one that is not known to run: it may have been told to come, and somebody waits for what becomes of it.
        let ended = SourceEvent::Apply(last.clone());
        self.emit(ended);
        let later = Instant::now() + self.settings.ended_rest;
        self.inspections.request_at(&id, later);
    }

    /// What was inspected before this session may be of another process of the container.
    fn signalled(&mut self, id: ContainerId, signal: u8) {
        let now = Instant::now();
        let was_seen = |listing: &Listing| listing.begun && !listing.remaining.contains(&id);
        let is_seen = self.listing.as_ref().is_none_or(was_seen);
        match self.known.last.get(&id).filter(|_| is_seen).cloned() {
            // Reported at once: what inspect says stays the same until the process ends.
            Some(last) if self.known.stopping.signalled(&last, signal, now) => {
                self.report(last.asked_to_stop());
            }
            Some(_) => {}
            None if self.listing.is_some() || !self.inspections.is_idle(&id) => {
                self.known.stopping.signalled_unknown(&id, signal, now);
            }
            None => {}
        }
    }

    fn gone(&mut self, id: ContainerId) {
        self.inspections.forget(&id);
        self.recovered(&id);
        self.known.stopping.forget(&id);
        let Some(listing) = &mut self.listing else {
            self.known.ended.remove(&id);
            self.known.last.remove(&id);
            // Even if it was unknown to inspect before: this is the proof.
            return self.emit(SourceEvent::Delete(id));
        };
        self.known.ended.insert(id.clone());
        listing.remaining.remove(&id);
        // The inspect after the list finds nothing.
        listing.touched.insert(id);
        self.finish_list_if_complete();
    }

    fn changed(&mut self, id: ContainerId) {
        let is_over = self.is_over(&id);
        match &mut self.listing {
            Some(listing) => _ = listing.touched.insert(id),
            None if is_over => self.inspections.repeat(&id),
            None => self.inspections.request(&id),
        }
    }

    /// Whether a container was reported as ended, and has not been inspected since.
    fn is_over(&self, id: &ContainerId) -> bool {
        let last = self.known.last.get(id);
        self.known.ended.contains(id) && last.is_some_and(Container::has_ended)
    }

    fn is_known_health(&self, id: &ContainerId, status: &str) -> bool {
        let is_shown = |last: &Container| {
            let document = last.document();
            let shown = document.at(&["State", "Health", "Status"]);
            shown.and_then(Part::as_str) == Some(status)
        };
        self.listing.is_none()
            && self.inspections.is_idle(id)
            && self.known.last.get(id).is_some_and(is_shown)
    }

    /// Completes the list without the containers whose inspect was asked for too long ago.
    fn give_up(&mut self, now: Instant) {
        let patience = self.settings.list_patience;
        let late = |(at, _): &mut (Instant, ContainerId)| now >= *at + patience;
        while let Some(listing) = &mut self.listing
            && let Some((_, id)) = listing.asked.pop_front_if(late)
        {
            if !listing.remaining.remove(&id) {
                continue;
            }
            match self.known.last.get(&id).cloned() {
                Some(last) => self.emit(SourceEvent::InitApply(last)),
                None => self.outbox.push(DockerUpdate::Coming(id)),
            }
        }
        self.finish_list_if_complete();
    }

    fn finish_list_if_complete(&mut self) {
        let complete = |listing: &mut Listing| listing.begun && listing.remaining.is_empty();
        if let Some(listing) = self.listing.take_if(complete) {
            self.emit(SourceEvent::InitDone);
            for id in &listing.touched {
                self.inspections.request(id);
            }
            self.recover_vanished();
        }
    }

    /// Containers whose failing inspects nobody repeats any more have vanished while the daemon was away.
    fn recover_vanished(&mut self) {
        let failing = std::mem::take(&mut self.known.failing);
        let (vanished, failing) = failing
            .into_iter()
            .partition(|id| self.inspections.is_idle(id));
        self.known.failing = failing;
        for id in BTreeSet::into_iter(vanished) {
            self.outbox.push(DockerUpdate::InspectRecovered { id });
        }
    }

    fn emit(&mut self, event: SourceEvent<Container>) {
        self.outbox.push(DockerUpdate::Container(event));
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
