//! Blocks of a batch on several threads.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};

/// Runs `work` for each of `0..blocks` with one of the workspaces, on as many threads as there are workspaces, the calling one
/// among them, and `collect` on the calling one in the order of the blocks.
///
/// Threads live as long as the call: starting one takes some 20 µs, a block of the smallest useful network ten times that.
pub(super) fn in_order<W: Send>(
    workspaces: &mut [W],
    blocks: usize,
    work: impl Fn(&mut W, usize) + Copy + Send,
    mut collect: impl FnMut(&W, usize),
) {
    let Some((own, others)) = workspaces.split_first_mut() else { return };
    if others.is_empty() || blocks < 2 {
        for block in 0..blocks {
            work(own, block);
            collect(own, block);
        }
        return;
    }
    thread::scope(|scope| {
        let others = others.iter_mut().take(blocks - 1);
        let mut helpers: Vec<_> = others.map(|workspace| Helper::start(scope, workspace, work)).collect();
        for wave in (0..blocks).step_by(helpers.len() + 1) {
            for (helper, block) in helpers.iter_mut().zip(wave + 1..blocks) {
                helper.give(block);
            }
            work(own, wave);
            collect(own, wave);
            for (helper, block) in helpers.iter_mut().zip(wave + 1..blocks) {
                // A helper that is gone has panicked, which the scope passes on.
                let Some(workspace) = helper.take() else { return };
                collect(workspace, block);
            }
        }
    });
}

/// A thread, and the workspace that goes to and fro between it and the calling one.
struct Helper<'a, W> {
    workspace: Option<&'a mut W>,
    blocks: Sender<(&'a mut W, usize)>,
    done: Receiver<&'a mut W>,
}

impl<'a, W: Send> Helper<'a, W> {
    fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        workspace: &'a mut W,
        work: impl Fn(&mut W, usize) + Send + 'scope,
    ) -> Self
    where
        'a: 'scope,
    {
        let (blocks, to_do) = channel::<(&'a mut W, usize)>();
        let (finished, done) = channel();
        scope.spawn(move || {
            while let Ok((workspace, block)) = to_do.recv() {
                work(workspace, block);
                if finished.send(workspace).is_err() {
                    return;
                }
            }
        });
        Self { workspace: Some(workspace), blocks, done }
    }

    fn give(&mut self, block: usize) {
        if let Some(workspace) = self.workspace.take() {
            // It fails where the thread has panicked: then nothing comes back either.
            let _ = self.blocks.send((workspace, block));
        }
    }

    /// The workspace, when the block is done.
    fn take(&mut self) -> Option<&W> {
        self.workspace = self.done.recv().ok();
        self.workspace.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn blocks_are_collected_in_their_order_and_every_thread_has_some() {
        for (threads, blocks) in [(1, 5), (2, 1), (2, 7), (4, 4), (4, 30), (8, 3), (3, 0)] {
            let mut workspaces = vec![(usize::MAX, thread::current().id()); threads];
            let (mut order, mut ids) = (Vec::new(), BTreeSet::new());
            in_order(
                &mut workspaces,
                blocks,
                |workspace, block| *workspace = (block * block, thread::current().id()),
                |(square, id), block| {
                    assert_eq!(*square, block * block);
                    order.push(block);
                    ids.insert(format!("{id:?}"));
                },
            );
            assert_eq!(order, (0..blocks).collect::<Vec<_>>());
            assert_eq!(ids.len(), threads.min(blocks), "{threads} threads, {blocks} blocks");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_passed_on() {
        in_order(&mut [(), ()], 4, |(), block| assert_ne!(block, 1, "no such block"), |(), _| {});
    }
}
