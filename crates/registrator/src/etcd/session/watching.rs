//! The watches of a session: one stream, with two watches for the registrators, and two for each key or root of interest.
//!
//! A key is watched from behind the revision of what was told of it: the session's reading, the answer to a commit, or a reading of its own.
//! Where none of these is at hand (a stream that broke, a watch that etcd gave up, a root that is watched as a whole from now on) the keys
//! are read first, and watched from there. So no change falls between, and it does not matter which changes etcd still remembers.

use super::Context;
use super::interests::{Changes, Interests, Subject, root_of};
use super::key_reading::{KeyReading, read_keys};
use crate::attempts::Attempts;
use crate::etcd::BACKOFF;
use crate::etcd::client::WatchStream;
use crate::etcd::error::Error;
use crate::etcd::layout::{Layout, Purpose};
use crate::etcd::reading::KeyRange;
use etcd_api::watch_request::RequestUnion;
use etcd_api::{Event, WatchCancelRequest, WatchCreateRequest, WatchResponse};
use registrator_core::backoff::Backoff;
use registrator_core::node::Key;
use registrator_core::own::Revision;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// The numbers of the watches that each stream begins with: the identities, and the beacons.
const REGISTRATORS: [u64; 2] = [1, 2];

/// etcd refuses a watch also because the token has expired with which its stream was opened. So a new stream is tried, but not more often
/// than this, for the right may really be missing.
const DOUBT_EVERY: Duration = Duration::from_secs(10);

/// The pauses before what was watched is read after a break. Most breaks are those of all hosts at the same time, and while etcd elects a
/// leader each reading that fails would send this process on to the next endpoint, and back to one that has been left.
const READINGS: Backoff = Backoff {
    first: Duration::from_secs(2),
    longest: Duration::from_secs(10),
};

/// What the watches report.
#[derive(Debug)]
pub(super) enum Report {
    /// Changes, those of one node or of the claims on one key in the order of their revisions. After a break the last revision may come
    /// again.
    Events(Vec<Event>),
    /// What there is of some keys, as they were read again.
    Read(KeyReading),
    /// Changes below this root, or of this key, cannot be watched.
    Refused(String, Error),
    /// Changes of registrators are lost, or etcd is not what it was: all must be read anew.
    Lost,
}

/// How far the watches of a subject have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// They begin behind this revision, as soon as there is a stream.
    From(Revision),
    /// Its keys are to be read first; some of them were told of at this revision meanwhile.
    Unread(Option<Revision>),
    /// They are being read.
    BeingRead(Option<Revision>),
    /// They go on, or were asked for, under these two numbers.
    Open([u64; 2]),
    /// etcd refused them. They are tried again with the next reading of all.
    Refused,
}

/// The stream that the watches share.
#[derive(Debug)]
enum SharedStream {
    /// It is about to be opened.
    Opening(JoinSet<Result<(WatchStream, WatchResponse), Error>>),
    Open(Box<WatchStream>, Instant),
}

/// The watches of a session.
pub(super) struct Watching {
    context: Arc<Context>,
    /// The cluster that this session is with.
    cluster: u64,
    /// The newest revision that was told. etcd must not fall behind it.
    newest: Revision,
    interests: Interests,
    stages: BTreeMap<Subject, Progress>,
    /// Which subject a watch is for, by our number of the watch.
    numbers: HashMap<u64, Subject>,
    last_number: u64,
    /// The watches that were asked for, in the order in which they are answered. An answer names a watch by the server's own id, and one
    /// that is refused not at all.
    asked: VecDeque<u64>,
    /// The server's ids of those that were answered, both ways.
    ids: HashMap<u64, i64>,
    by_id: HashMap<i64, u64>,
    /// The revisions from which on the changes of identities and beacons are not known.
    registrators: [Revision; 2],
    line: SharedStream,
    attempts: Attempts,
    /// The stream broke: what is watched must be read again.
    broken: bool,
    readings: Attempts,
    /// The newest revision that was told when this began comes with it.
    reading: JoinSet<(Revision, Result<KeyReading, Error>)>,
    /// What was told of refusals.
    refused: BTreeSet<String>,
    /// When a refusal was last taken for that of an old token.
    doubted: Option<Instant>,
}

impl Watching {
    /// Watches the registrators, and `keys`, from behind the revision of the reading that they were found in.
    pub(super) fn new(
        context: &Arc<Context>,
        cluster: u64,
        revision: Revision,
        keys: impl Iterator<Item = Key>,
    ) -> Watching {
        let mut watching = Watching {
            context: context.clone(),
            cluster,
            newest: revision,
            interests: Interests::default(),
            stages: BTreeMap::new(),
            numbers: HashMap::new(),
            last_number: 0,
            asked: VecDeque::new(),
            ids: HashMap::new(),
            by_id: HashMap::new(),
            registrators: [revision + 1; 2],
            line: SharedStream::Opening(JoinSet::new()),
            attempts: Attempts::new(BACKOFF),
            broken: false,
            readings: Attempts::new(READINGS),
            reading: JoinSet::new(),
            refused: BTreeSet::new(),
            doubted: None,
        };
        watching.open(Duration::ZERO);
        watching.tell_of(keys, revision);
        watching
    }

    /// Watches keys, all of which was told as it was at `revision`, unless they are watched already.
    pub(super) fn tell_of(&mut self, keys: impl Iterator<Item = Key>, revision: Revision) {
        self.newest = self.newest.max(revision);
        let mut new = Vec::new();
        for key in keys {
            match self.stage_of(&key) {
                // A right may have been given meanwhile.
                Some(Progress::Refused) => self.begin(Subject::Key(key), revision),
                Some(Progress::From(_) | Progress::Open(..)) => {}
                Some(Progress::Unread(from) | Progress::BeingRead(from)) => {
                    *from = Some(from.map_or(revision, |from| revision.min(from)));
                }
                None => new.push(key),
            }
        }
        let changes = self.interests.add(new);
        self.change(changes, revision);
    }

    /// Watches keys, of which is still to be told what they are.
    pub(super) fn want(&mut self, keys: impl Iterator<Item = Key>) {
        self.tell_of(keys, self.newest);
    }

    /// Watches keys no longer.
    pub(super) fn forget(&mut self, keys: impl IntoIterator<Item = Key>) {
        let changes = self.interests.remove(keys);
        self.change(changes, self.newest);
    }

    /// All keys that are watched, or shall be. Those whose watches were refused are tried again.
    pub(super) fn keys(&mut self) -> BTreeSet<Key> {
        for stage in self.stages.values_mut() {
            if *stage == Progress::Refused {
                *stage = Progress::Unread(None);
            }
        }
        self.read(Duration::ZERO);
        self.interests.all().cloned().collect()
    }

    /// What happened. May be dropped while it waits.
    pub(super) async fn report(&mut self) -> Report {
        loop {
            let report = match &mut self.line {
                SharedStream::Opening(opening) => tokio::select! {
                    Some(opened) = opening.join_next() => self.opened(opened),
                    Some(read) = self.reading.join_next() => self.have_read(read),
                    else => std::future::pending().await,
                },
                SharedStream::Open(stream, _) => tokio::select! {
                    answer = stream.next_of_any() => self.answered(answer),
                    Some(read) = self.reading.join_next() => self.have_read(read),
                },
            };
            if let Some(report) = report {
                return report;
            }
        }
    }

    /// The stage of a key or of the root that it is watched with, if it is watched.
    fn stage_of(&mut self, key: &Key) -> Option<&mut Progress> {
        if !self.interests.contains(key) {
            return None;
        }
        let single = Subject::Key(key.clone());
        if self.stages.contains_key(&single) {
            return self.stages.get_mut(&single);
        }
        self.stages
            .get_mut(&Subject::Root(root_of(key).into_owned()))
    }

    fn change(&mut self, changes: Changes, revision: Revision) {
        for subject in changes.end {
            if let Some(Progress::Open(numbers)) = self.stages.remove(&subject) {
                self.close(numbers);
            }
        }
        for subject in changes.begin {
            self.begin(subject, revision);
        }
        if !changes.begin_anew.is_empty() {
            let unread = |subject| (subject, Progress::Unread(None));
            self.stages
                .extend(changes.begin_anew.into_iter().map(unread));
            self.read(Duration::ZERO);
        }
    }

    fn close(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.numbers.remove(&number);
            // One that is not answered yet is cancelled when it is.
            if let Some(id) = self.ids.remove(&number) {
                self.by_id.remove(&id);
                self.cancel(id);
            }
        }
    }

    fn cancel(&self, watch_id: i64) {
        if let SharedStream::Open(stream, _) = &self.line {
            stream.ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
        }
    }

    /// Begins the watches of a subject behind a revision, or remembers to.
    fn begin(&mut self, subject: Subject, revision: Revision) {
        let SharedStream::Open(stream, _) = &self.line else {
            self.stages.insert(subject, Progress::From(revision));
            return;
        };
        let ranges = ranges(&self.context.layout, &subject);
        let numbers = [self.last_number + 1, self.last_number + 2];
        self.last_number += 2;
        for (number, range) in numbers.into_iter().zip(ranges) {
            let create = watch(range, revision + 1);
            stream.ask(RequestUnion::CreateRequest(create));
            self.asked.push_back(number);
            self.numbers.insert(number, subject.clone());
        }
        self.stages.insert(subject, Progress::Open(numbers));
    }

    /// Opens a stream after a pause, with the watch of the identities.
    fn open(&mut self, pause: Duration) {
        let client = self.context.client.clone();
        let [revision, _] = self.registrators;
        let identities = KeyRange::prefix(&self.context.layout.identities());
        let create = WatchCreateRequest {
            progress_notify: true,
            ..watch(identities, revision)
        };
        let mut opening = JoinSet::new();
        opening.spawn(async move {
            tokio::time::sleep(pause).await;
            client.watch(create).await
        });
        self.line = SharedStream::Opening(opening);
        self.numbers.clear();
        self.asked.clear();
        self.ids.clear();
        self.by_id.clear();
    }

    /// The stream has ended, or is of no use. What was watched is read before it is watched again.
    fn reopen(&mut self) {
        self.broken = true;
        self.replace();
    }

    /// Opens another stream in place of this one. Its watches must begin soon: they are refused once the token has expired that it is
    /// opened with.
    fn replace(&mut self) {
        self.reading = JoinSet::new();
        for stage in self.stages.values_mut() {
            *stage = Progress::Unread(None);
        }
        let pause = self.attempts.failed();
        self.open(pause);
    }

    fn opened(
        &mut self,
        opened: Result<Result<(WatchStream, WatchResponse), Error>, JoinError>,
    ) -> Option<Report> {
        let (stream, created) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(Error::Compacted { .. })) => return Some(Report::Lost),
            Ok(Err(error)) => {
                self.reopen();
                let root = self.context.layout.identities();
                return self.refusal(root, error);
            }
            // A task of ours neither panics nor is aborted.
            Err(_) => {
                self.reopen();
                return None;
            }
        };
        if created.header.unwrap_or_default().cluster_id != self.cluster {
            return Some(Report::Lost);
        }
        let [first, number] = REGISTRATORS;
        self.name(first, created.watch_id);
        let [_, revision] = self.registrators;
        let beacons = KeyRange::prefix(&self.context.layout.beacons());
        stream.ask(RequestUnion::CreateRequest(WatchCreateRequest {
            progress_notify: true,
            ..watch(beacons, revision)
        }));
        self.asked.push_back(number);
        self.last_number = number;
        self.line = SharedStream::Open(Box::new(stream), Instant::now());
        let waiting = self.stages.iter();
        let waiting = waiting.filter_map(|(subject, stage)| match stage {
            Progress::From(revision) => Some((subject.clone(), *revision)),
            _ => None,
        });
        for (subject, revision) in waiting.collect::<Vec<_>>() {
            self.begin(subject, revision);
        }
        let pause = if self.broken {
            self.readings.failed()
        } else {
            Duration::ZERO
        };
        self.read(pause);
        None
    }

    /// The server has given a watch this id.
    fn name(&mut self, number: u64, id: i64) {
        self.ids.insert(number, id);
        self.by_id.insert(id, number);
    }

    fn answered(&mut self, answer: Result<WatchResponse, Error>) -> Option<Report> {
        let SharedStream::Open(_, opened) = &self.line else {
            return None;
        };
        let Ok(answer) = answer else {
            if opened.elapsed() > BACKOFF.longest {
                self.attempts.succeeded();
            }
            self.reopen();
            return None;
        };
        let number = if answer.created {
            self.asked.pop_front()
        } else {
            self.by_id.get(&answer.watch_id).copied()
        };
        // Of one that was closed nothing is of interest.
        let number = number?;
        if answer.created && !answer.canceled {
            self.name(number, answer.watch_id);
        }
        let SharedStream::Open(stream, _) = &self.line else {
            return None;
        };
        if let Some(at) = REGISTRATORS.iter().position(|known| *known == number) {
            return match stream.check(&answer, 0) {
                Ok(()) => self.of_registrators(at, answer),
                Err(Error::Compacted { .. }) => Some(Report::Lost),
                Err(error) => {
                    self.reopen();
                    self.refusal(self.context.layout.beacons(), error)
                }
            };
        }
        let Some(subject) = self.numbers.get(&number).cloned() else {
            // Closed before it was answered.
            self.close([number]);
            return None;
        };
        match stream.check(&answer, 0) {
            Ok(()) => self.of_subject(&subject, answer.events),
            Err(error) => self.ended(&subject, error),
        }
    }

    /// A message that says nothing but a revision tells that nothing happened up to it.
    fn of_registrators(&mut self, at: usize, answer: WatchResponse) -> Option<Report> {
        let [identities, beacons] = &mut self.registrators;
        let next = if at == 0 { identities } else { beacons };
        let last = answer.events.iter().filter_map(|event| event.kv.as_ref());
        match last.map(|kv| kv.mod_revision).max() {
            // Not the one behind: a message may have only a part of the changes of a revision.
            Some(last) => *next = last.max(*next),
            None if !answer.created => {
                let told = answer.header.unwrap_or_default().revision;
                *next = (told + 1).max(*next);
            }
            None => {}
        }
        self.events(answer.events)
    }

    fn of_subject(&mut self, subject: &Subject, events: Vec<Event>) -> Option<Report> {
        if matches!(subject, Subject::Key(_)) {
            return self.events(events);
        }
        let mut kept = Vec::new();
        for event in events {
            let name = event.kv.as_ref().map(|kv| kv.key.as_slice());
            let key = match self.context.layout.place(name.unwrap_or_default()) {
                Purpose::Node(key) | Purpose::Claim(key, _) => key,
                _ => continue,
            };
            // Claims on nodes and on objects are in one place.
            if !matches!(subject, Subject::Root(name) if *name == *root_of(&key)) {
                continue;
            }
            if self.interests.contains(&key) {
                kept.push(event);
            }
            let changes = self.interests.heard(&key);
            self.change(changes, self.newest);
        }
        self.events(kept)
    }

    fn events(&mut self, events: Vec<Event>) -> Option<Report> {
        let revisions = events.iter().filter_map(|event| event.kv.as_ref());
        let last = revisions.map(|kv| kv.mod_revision).max()?;
        self.newest = self.newest.max(last);
        Some(Report::Events(events))
    }

    /// etcd ended a watch by itself.
    fn ended(&mut self, subject: &Subject, error: Error) -> Option<Report> {
        if let Some(Progress::Open(numbers)) = self.stages.get(subject) {
            self.close(*numbers);
        }
        match error {
            Error::Refused { .. } | Error::StaleToken { .. } => {}
            error if error.blames_endpoint() => {
                self.reopen();
                return None;
            }
            _ => {
                self.stages.insert(subject.clone(), Progress::Unread(None));
                let pause = self.attempts.failed();
                self.read(pause);
                return None;
            }
        }
        if self.context.client.logs_in() && self.doubted.is_none_or(|at| at.elapsed() > DOUBT_EVERY)
        {
            self.doubted = Some(Instant::now());
            self.replace();
            return None;
        }
        self.stages.insert(subject.clone(), Progress::Refused);
        match subject {
            Subject::Key(key) => self.refusal(key.root().to_owned(), error),
            Subject::Root(name) => {
                let changes = self.interests.forbid(name);
                self.change(changes, self.newest);
                None
            }
        }
    }

    /// That etcd cannot be reached is for the keeper to tell; that it refuses only this, nobody else will.
    fn refusal(&mut self, root: String, error: Error) -> Option<Report> {
        let is_news = !error.blames_endpoint() && self.refused.insert(root.clone());
        is_news.then_some(Report::Refused(root, error))
    }

    /// Reads after a pause what is to be read before it is watched, unless that is under way.
    fn read(&mut self, pause: Duration) {
        if !matches!(self.line, SharedStream::Open(..)) || !self.reading.is_empty() {
            return;
        }
        let mut keys = BTreeSet::new();
        for (subject, stage) in &mut self.stages {
            if let Progress::Unread(from) = *stage {
                *stage = Progress::BeingRead(from);
                keys.extend(self.interests.of(subject).cloned());
            }
        }
        if keys.is_empty() && !self.broken {
            return;
        }
        let (context, newest) = (self.context.clone(), self.newest);
        self.reading.spawn(async move {
            tokio::time::sleep(pause).await;
            (newest, read_keys(&context, &keys).await)
        });
    }

    fn have_read(
        &mut self,
        read: Result<(Revision, Result<KeyReading, Error>), JoinError>,
    ) -> Option<Report> {
        let Ok((newest, Ok(reading))) = read else {
            for stage in self.stages.values_mut() {
                if let Progress::BeingRead(from) = *stage {
                    *stage = Progress::Unread(from);
                }
            }
            let pause = self.readings.failed();
            self.read(pause);
            return None;
        };
        if reading.cluster != self.cluster || reading.revision < newest {
            return Some(Report::Lost);
        }
        self.attempts.succeeded();
        self.readings.succeeded();
        self.broken = false;
        self.newest = self.newest.max(reading.revision);
        let read = self.stages.iter();
        let read = read.filter_map(|(subject, stage)| match stage {
            Progress::BeingRead(from) => Some((subject.clone(), *from)),
            _ => None,
        });
        for (subject, from) in read.collect::<Vec<_>>() {
            let from = from.map_or(reading.revision, |from| from.min(reading.revision));
            self.begin(subject, from);
        }
        self.read(Duration::ZERO);
        Some(Report::Read(reading))
    }
}

/// The nodes of a subject, and the claims on them.
fn ranges(layout: &Layout, subject: &Subject) -> [KeyRange; 2] {
    match subject {
        Subject::Key(key) => [
            KeyRange::exact(&layout.node(key)),
            KeyRange::prefix(&layout.claims(key)),
        ],
        Subject::Root(root) => {
            let (root, nodes) = match root.strip_suffix('/') {
                Some(of_objects) if of_objects.ends_with('/') => {
                    (of_objects, layout.objects_below(of_objects))
                }
                _ => (root.as_str(), root.clone()),
            };
            [
                KeyRange::prefix(&nodes),
                KeyRange::prefix(&layout.claims_below(root)),
            ]
        }
    }
}

fn watch(range: KeyRange, start_revision: Revision) -> WatchCreateRequest {
    WatchCreateRequest {
        key: range.key,
        range_end: range.end,
        start_revision,
        fragment: true,
        ..WatchCreateRequest::default()
    }
}
