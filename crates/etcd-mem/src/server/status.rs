//! The gRPC codes of refusals, as etcd gives them; clients decide by them whether to try again.

use prost::Message;
use tonic::{Code, Status};

use crate::store::{MAX_REQUEST_BYTES, StoreError};

/// The biggest message that etcd receives: the biggest request and 512 KiB.
pub(super) const MAX_MESSAGE_BYTES: usize = MAX_REQUEST_BYTES + (512 << 10);

/// What etcd's own log entry adds to the bytes of a request, about: a header with an id of ten bytes, tags, a length.
const ENTRY_BYTES: usize = 20;

/// The answer to a refused request.
pub(super) fn from_store(error: StoreError) -> Status {
    let code = match error {
        StoreError::EmptyKey
        | StoreError::KeyNotFound
        | StoreError::ValueProvided
        | StoreError::LeaseProvided
        | StoreError::InvalidSortOption
        | StoreError::UnknownCompare
        | StoreError::TooManyOperations
        | StoreError::DuplicateKey
        | StoreError::RequestTooLarge
        | StoreError::EmptyWatchRange
        | StoreError::DuplicateWatchId => Code::InvalidArgument,
        StoreError::NoSpace => Code::ResourceExhausted,
        StoreError::Compacted { .. }
        | StoreError::FutureRevision
        | StoreError::LeaseTtlTooLarge => Code::OutOfRange,
        StoreError::LeaseNotFound => Code::NotFound,
        StoreError::LeaseExists => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}

/// The end of a stream because the server ends.
pub(super) fn stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

/// Refuses a message that etcd would not receive.
pub(super) fn check_message(message: &impl Message) -> Result<(), Status> {
    let bytes = message.encoded_len();
    if bytes > MAX_MESSAGE_BYTES {
        let text =
            format!("grpc: received message larger than max ({bytes} vs. {MAX_MESSAGE_BYTES})");
        return Err(Status::resource_exhausted(text));
    }
    Ok(())
}

/// Refuses a changing request that etcd would not write to its log.
pub(super) fn check_entry(message: &impl Message) -> Result<(), Status> {
    check_message(message)?;
    if message.encoded_len() + ENTRY_BYTES > MAX_REQUEST_BYTES {
        return Err(from_store(StoreError::RequestTooLarge));
    }
    Ok(())
}
