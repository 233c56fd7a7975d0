//! One computation for many items, in a few threads.

use std::num::NonZeroUsize;

use crate::error::Error;

/// The results in the order of the items, or the error of the first item that has one: the same for any number of
/// threads. With one nothing is started.
pub(crate) fn try_map<T: Sync, R: Send>(
    items: &[T],
    threads: NonZeroUsize,
    compute: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let part = items.len().div_ceil(threads.get()).max(1);
    if items.len() <= part {
        return items.iter().map(compute).collect();
    }
    std::thread::scope(|scope| {
        let parts = items.chunks(part).map(|items| {
            let compute = &compute;
            scope.spawn(move || items.iter().map(compute).collect::<Result<Vec<R>, Error>>())
        });
        // All are started before the first is waited for.
        let parts: Vec<_> = parts.collect();
        let mut results = Vec::with_capacity(items.len());
        for part in parts {
            results.extend(part.join().map_err(|_| Error::Internal { operation: "thread" })??);
        }
        Ok(results)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_any_number_of_threads() {
        let items: Vec<usize> = (0..23).collect();
        let failure = |index: &usize| Error::InvalidName { max: 0, got: *index };
        for threads in (1..30).map(|threads| NonZeroUsize::new(threads).unwrap()) {
            let doubled = try_map(&items, threads, |item| Ok(2 * item)).unwrap();
            assert_eq!(doubled, items.iter().map(|item| 2 * item).collect::<Vec<_>>());
            let error = try_map(&items, threads, |item| if *item < 7 { Ok(()) } else { Err(failure(item)) });
            assert_eq!(error, Err(failure(&7)));
            assert_eq!(try_map(&[0_usize; 0], threads, |_| Ok(())), Ok(vec![]));
        }
    }
}
