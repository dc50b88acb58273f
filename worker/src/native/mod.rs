//! Rust functions for the prelude, in groups. `import native from "fazt:native/GROUP"` gives an object with
//! the group's functions; it is made when the first prelude module asks for it. Apps cannot import them.
//!
//! A group is a module here with `pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()>`.
//! Its arguments come through the prelude, but the values are the app's: hostile in content.

use rquickjs::{Ctx, Object, Result};

pub mod json;

/// Prefix of the module names.
pub(crate) const PREFIX: &str = "fazt:native/";

macro_rules! groups {
    ($($group:ident,)*) => {
        $(mod $group;)*

        /// Whether there is a group of this name.
        pub(crate) fn exists(group: &str) -> bool {
            [$(stringify!($group)),*].contains(&group)
        }

        /// Makes the functions of a group. `None`: no such group.
        pub(crate) fn make<'js>(ctx: &Ctx<'js>, group: &str) -> Option<Result<Object<'js>>> {
            let init = match group {
                $(stringify!($group) => $group::init,)*
                _ => return None,
            };
            Some(Object::new(ctx.clone()).and_then(|natives| init(ctx, &natives).map(|()| natives)))
        }
    };
}

groups! {
    compress,
    context,
    encoding,
    host,
    html,
    buffer,
    crypto,
    inspect,
    intl,
    object,
    url,
    link,
}
