//! One-time codes that carry a sign-in from the OS origin to an app's origin. In memory: they live for a minute,
//! and a restart costs the user one more click.
//!
//! A code is good for one app, once, in the browser that asked for it: it holds the mark of a secret that the
//! app's origin gave that browser in a cookie. So a code that leaks, or that an attacker puts under somebody
//! else's link, opens nothing.

use std::collections::HashMap;

use fazt_ipc::ids::{AppId, SessionId, UserId};

use super::World;
use super::secret::{Mark, Secret};

/// A code is worthless after this time.
pub const CODE_MS_MAX: u64 = 60_000;
/// Codes at once. When there are more, the oldest goes.
const CODES_MAX: usize = 1_024;

/// What a code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The session at the OS origin.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// The app that it is for.
    pub app: AppId,
    /// The browser that asked: mark of its state.
    pub state: Mark,
    /// Path to go on to.
    pub to: String,
}

/// Codes that were given out.
#[derive(Debug, Default)]
pub struct Codes {
    open: HashMap<Mark, (Grant, u64)>,
}

impl Codes {
    /// Makes a code.
    pub fn make(&mut self, grant: Grant, world: &dyn World) -> Secret {
        let now = world.now_ms();
        self.open.retain(|_, (_, expires)| now < *expires);
        if self.open.len() >= CODES_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (_, expires))| *expires).map(|(&mark, _)| mark);
            oldest.and_then(|mark| self.open.remove(&mark));
        }
        let code = Secret::new(world);
        self.open.insert(code.mark(), (grant, now + CODE_MS_MAX));
        code
    }

    /// Takes a code in: at `app`, from the browser that holds `state`. Whatever the outcome, it is spent.
    pub fn redeem(&mut self, code: &Secret, app: AppId, state: &Secret, now_ms: u64) -> Option<Grant> {
        let (grant, expires) = self.open.remove(&code.mark())?;
        (now_ms < expires && grant.app == app && grant.state == state.mark()).then_some(grant)
    }

    /// Forgets the codes of a session that ended.
    pub fn forget(&mut self, gone: impl Fn(&Grant) -> bool) {
        self.open.retain(|_, (grant, _)| !gone(grant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    fn grant(state: &Secret) -> Grant {
        Grant {
            session: SessionId::new(1, 1),
            user: UserId::new(1, 1),
            app: AppId::new(1, 1),
            state: state.mark(),
            to: "/".into(),
        }
    }

    #[test]
    fn a_code_is_good_once_for_its_app_in_its_browser_for_a_minute() {
        let world = Fixed::at(5);
        let (state, other) = (Secret::new(&*world), Secret::new(&*world));
        let app = AppId::new(1, 1);
        let mut codes = Codes::default();
        let code = codes.make(grant(&state), &*world);
        assert_eq!(codes.redeem(&code, app, &state, world.now_ms()), Some(grant(&state)));
        assert_eq!(codes.redeem(&code, app, &state, world.now_ms()), None, "spent");
        for (at, by, later) in [(AppId::new(1, 2), &state, 0), (app, &other, 0), (app, &state, CODE_MS_MAX)] {
            let code = codes.make(grant(&state), &*world);
            assert_eq!(codes.redeem(&code, at, by, world.now_ms() + later), None);
            assert_eq!(codes.redeem(&code, app, &state, world.now_ms()), None, "a wrong try spends it");
        }
        let code = codes.make(grant(&state), &*world);
        codes.forget(|grant| grant.session == SessionId::new(1, 1));
        assert_eq!(codes.redeem(&code, app, &state, world.now_ms()), None, "its session ended");
    }

    #[test]
    fn codes_are_bounded() {
        let world = Fixed::at(5);
        let state = Secret::new(&*world);
        let mut codes = Codes::default();
        for _ in 0..2 * CODES_MAX {
            codes.make(grant(&state), &*world);
        }
        assert_eq!(codes.open.len(), CODES_MAX);
        world.pass(CODE_MS_MAX);
        codes.make(grant(&state), &*world);
        assert_eq!(codes.open.len(), 1);
    }
}
