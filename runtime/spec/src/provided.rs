//! What the place where a step runs has for it, beside its participant.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// What the place where a step runs has for it: at most one value of each type. Clones share it.
///
/// It is how a runtime hands to steps what belongs to the place and not to the flow, such as the keys and the limits of a
/// site. A flow cannot put anything in; a step asks with [`Context::provided`](crate::Context::provided).
#[derive(Clone, Default)]
pub struct Provided(Arc<[Item]>);

#[derive(Clone)]
struct Item {
    of: TypeId,
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Provided {
    /// Nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The same with `value`, in place of what was there of its type.
    pub fn with<T: Any + Send + Sync>(self, value: T) -> Self {
        let of = TypeId::of::<T>();
        let item = Item { of, name: std::any::type_name::<T>(), value: Arc::new(value) };
        let others = self.0.iter().filter(|other| other.of != of).cloned();
        Self(others.chain([item]).collect())
    }

    /// The value of this type, if there is one.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let item = self.0.iter().find(|item| item.of == TypeId::of::<T>())?;
        item.value.downcast_ref()
    }
}

/// Names the types only: the values may be secret.
impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|item| item.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Secret(u8);

    #[test]
    fn a_place_provides_one_value_of_each_type_and_shows_none() {
        let provided = Provided::nothing().with(Secret(7)).with("limit");
        assert_eq!((provided.get::<Secret>(), provided.get::<u8>()), (Some(&Secret(7)), None));
        let shown = format!("{provided:?}");
        assert!(shown.contains("Secret") && !shown.contains('7') && !shown.contains("limit"), "{shown}");
        let replaced = provided.clone().with(Secret(8));
        assert_eq!(replaced.get(), Some(&Secret(8)));
        assert_eq!((provided.get(), provided.get::<&str>()), (Some(&Secret(7)), Some(&"limit")));
    }
}
