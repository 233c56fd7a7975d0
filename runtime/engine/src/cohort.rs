//! What is checked of those who take part, before anything runs.

use veilflow_spec::graph::Block;
use veilflow_spec::{Name, Quorum};

use crate::error::RunError;

/// The names in their order.
///
/// # Errors
/// Nobody, a name that cannot be one, one that is there twice.
pub(crate) fn sorted(mut names: Vec<Name>) -> Result<Vec<Name>, RunError> {
    names.sort();
    names.iter().try_for_each(Name::validate)?;
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(RunError::DuplicateCollaborator { name: name.clone() });
    }
    if names.is_empty() {
        return Err(RunError::NoCollaborators);
    }
    Ok(names)
}

/// Refuses a quorum that this cohort can never meet, before anything runs.
pub(crate) fn check_quorums<A, C>(blocks: &[Block<A, C>], collaborators: usize) -> Result<(), RunError> {
    for block in blocks {
        match block {
            Block::Step(_) => {}
            Block::Fan(fan) => {
                if let quorum @ Quorum::Count(count) = fan.quorum()
                    && count > collaborators
                {
                    let path = fan.path().to_string();
                    return Err(RunError::QuorumAboveCohort { path, quorum, collaborators });
                }
            }
            Block::Secure(secure) => check_quorums(secure.blocks(), collaborators)?,
            Block::Repeat(repeat) => check_quorums(repeat.body(), collaborators)?,
            Block::Branch(fork) => {
                check_quorums(fork.yes(), collaborators)?;
                check_quorums(fork.no(), collaborators)?;
            }
        }
    }
    Ok(())
}
