//! What a protocol of secure aggregation is.

use crate::context::Context;
use crate::error::Result;
use crate::flow::{AtAggregator, AtCollaborators};
use crate::inputs::Missing;
use crate::name::Name;
use crate::secure::block::Needs;
use crate::secure::given::MessageDigest;
use crate::secure::hidden::HiddenRole;
use crate::secure::layout::SecureSum;
use crate::secure::sum::Sum;
use crate::transition::Sends;

/// A protocol that sums what collaborators return without showing anybody's own part.
///
/// Its roles are hidden participants beside the user's, one [`Server`](Self::Server) and one
/// [`Client`](Self::Client) for each secure join and run; its rounds are a flow over them in the same DSL. See
/// `.secure_join(..)` of [`AtCollaborators`] for where that flow stands.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol of secure aggregation",
    label = "`.secure_join(protocol, step)` takes the protocol first and then the aggregator's step",
    note = "for example `.secure_join(SecAgg::complete(), Server::average)`"
)]
pub trait SecureProtocol<T: SecureSum>: Send + Sync + 'static {
    /// The hidden participant at the aggregator.
    type Server: HiddenRole;
    /// The hidden participant at each collaborator.
    type Client: HiddenRole;

    /// What it is called in drawings and in the fingerprint.
    fn name(&self) -> &'static str;

    /// Everything on which all participants must agree, for drawings and the fingerprint.
    fn parameters(&self) -> Vec<(&'static str, String)>;

    /// How many of `invited` collaborators it needs at the least.
    ///
    /// # Errors
    /// Parameters under which so many cannot be summed at all.
    fn needs(&self, invited: usize) -> Result<Needs>;

    /// The hidden participant at the aggregator, made once a run, in the first step that needs it.
    ///
    /// # Errors
    /// What keeps it from being made.
    fn server(&self, cx: &Context) -> Result<Self::Server>;

    /// The hidden participant at a collaborator, made at its site, once a run, in the first step that needs it. What is
    /// the site's own, its keys and its limits, is [provided](Context::provided) by the place and no part of the
    /// [parameters](Self::parameters).
    ///
    /// # Errors
    /// What keeps it from being made.
    fn client(&self, cx: &Context) -> Result<Self::Client>;

    /// How often the [setup](Self::setup) is started at most. One that failed, while nothing is masked yet, is started
    /// anew among those who are still there. It is part of the fingerprint.
    fn attempts(&self) -> u32 {
        1
    }

    /// The rounds before the collaborators have an input, such as an exchange of keys. They end at those who may
    /// still take part.
    fn setup(
        &self,
        start: AtAggregator<Self::Server, Self::Client, Opening, Opening>,
    ) -> AtCollaborators<Self::Server, Self::Client, Opening, (), impl Sends>;

    /// Tells a client which message its site was given, before the user's first step receives it. What it masks must
    /// be bound to it.
    fn bind(client: &mut Self::Client, message: MessageDigest);

    /// The rounds from the input on. The first step takes the input in the task in which it was made.
    fn rounds(
        &self,
        input: AtCollaborators<Self::Server, Self::Client, T, T>,
    ) -> AtAggregator<Self::Server, Self::Client, T, Sum<T>>;
}

/// What a protocol starts from at the aggregator.
#[derive(Clone, Debug)]
pub struct Opening {
    invited: Vec<Name>,
    message: MessageDigest,
    attempt: u32,
    missing: Vec<Missing>,
}

impl Opening {
    pub(crate) fn new(
        invited: Vec<Name>,
        message: MessageDigest,
        attempt: u32,
        missing: Vec<Missing>,
    ) -> Self {
        Self { invited, message, attempt, missing }
    }

    /// Whom the user's `Foreach` addresses and no earlier attempt has lost, in the order of the names.
    pub fn invited(&self) -> &[Name] {
        &self.invited
    }

    /// How often the setup of this session was started before: 0 where it is the first time.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whom the earlier attempts lost.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The digest of what they are given.
    pub fn message(&self) -> MessageDigest {
        self.message
    }
}
