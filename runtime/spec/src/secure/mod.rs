//! Secure joins: the aggregator's step receives a sum, and nothing of which one collaborator's part could be told.
//!
//! `.secure_join(protocol, step)` stands where `.join(step)` does. What a protocol is, the crate does not know: it is
//! a [`SecureProtocol`], whose two roles are hidden participants beside the user's and whose rounds are a flow over
//! them in the same DSL. What protects the inputs, and against whom, is the protocol's to say.
//!
//! # Where a protocol's rounds stand in the graph
//!
//! Keys must be there before anything can be masked, and the plain input must not leave its site. So the protocol's
//! [`setup`](SecureProtocol::setup) comes first: it fans out to those whom the user's `Foreach` addressed and ends at
//! the collaborators. There, **in the same task**, follow the user's own steps and then the first step of the
//! protocol's [`rounds`](SecureProtocol::rounds), which takes the input that the user's last step returned. What
//! passes between the steps of a task is never encoded and never leaves the site.
//!
//! ```text
//! Foreach<M> → setup: …fan-out, join… → [ setup's last steps → user's steps → rounds' first steps ] → join → … → Sum<T> → step
//!                                        one task at each collaborator
//! ```
//!
//! # Policies
//!
//! The quorum on the edge says how many of those addressed must be in the sum, and holds for every exchange until the
//! sum is made; the protocol's own least numbers hold besides ([`Needs`]). The deadline holds for each exchange by
//! itself, from its start. The whole is one block: it completes, or the run fails. Only a setup that failed is started
//! again, as often as the protocol [allows](SecureProtocol::attempts), without those whom it lost: nothing is masked yet,
//! and the user's steps have not run.
//!
//! # What must be equal
//!
//! The inputs of a sum belong to one model. A protocol binds what it masks to a [digest of the message](Given) that a
//! site was really given. That the fan-out of a secure join sends the same to all is checked by the compiler: behind a step
//! that returns `Foreach<_, Each>`, as [`Foreach::each`](crate::Foreach::each) makes it, `.secure_join(..)` does not exist
//! ([`SendsOne`](crate::SendsOne)).

mod block;
mod embed;
mod given;
mod hidden;
mod layout;
mod protocol;
mod sum;

pub(crate) use block::prefix;
pub use block::{Close, Needs, Refused, Secure};
pub(crate) use embed::{Users, embed};
pub(crate) use given::Carried;
pub use given::{Given, MessageDigest};
pub use hidden::{Hidden, HiddenRole};
pub use layout::{Averaged, Means, Parts, SecureSum, SumLayout, check_clipping_range};
pub use protocol::{Opening, SecureProtocol};
pub use sum::Sum;
