//! Who asks for nodes.

use crate::observe::container::ContainerId;
use crate::observe::instance::InstanceId;

/// An instance and the container that it looks at: what one evaluation is about, and who asks for its nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The instance.
    pub instance: InstanceId,
    /// The container that it looked at.
    pub container: ContainerId,
}
