//! One-time codes that carry a sign-in from the OS origin to an app's origin. In memory: they live for a minute,
//! and a restart costs the user one more click.
//!
//! A code is good for one app, once, in the browser that asked for it: it holds the mark of a secret that the
//! app's origin gave that browser in a cookie. So a code that leaks, or that an attacker puts under somebody
//! else's link, opens nothing.
//!
//! A hostile app may have a service worker at its origin: that sees the code go by, and may have planted the
//! cookie. So that it cannot send both to an accomplice who then is its user for a month, a code is also good
//! only near the network that asked for it ([`near`]).

use std::net::IpAddr;

use fazt_ipc::ids::{AppId, SessionId, UserId};

use super::World;
use super::secret::{Mark, Secret};
use super::waiting::Waiting;

/// A code is worthless after this time.
pub const CODE_MS_MAX: u64 = 60_000;
/// Codes at once.
const CODES_MAX: usize = 1_024;
/// Codes of one user at once: tabs that a browser opens again after it was closed.
const CODES_PER_USER_MAX: usize = 64;

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
    /// Where it asked from.
    pub near: Mark,
    /// Path to go on to.
    pub to: String,
}

/// Where somebody is, coarsely: what a browser keeps from one request to the next even where a provider spreads
/// its customers over neighbouring addresses. All addresses of this very machine are one.
#[must_use]
pub fn near(address: IpAddr) -> Mark {
    match address.to_canonical() {
        address if address.is_loopback() => Mark::of(&[b"near", b"loopback"]),
        IpAddr::V4(address) => Mark::of(&[b"near", &address.octets()[..3]]),
        IpAddr::V6(address) => Mark::of(&[b"near", &address.octets()[..6]]),
    }
}

/// Codes that were given out.
pub struct Codes(Waiting<Grant>);

impl Default for Codes {
    fn default() -> Self {
        Self(Waiting::new(CODES_MAX, CODES_PER_USER_MAX))
    }
}

impl Codes {
    /// Makes a code.
    pub fn make(&mut self, grant: Grant, world: &dyn World) -> Secret {
        let holder = Mark::of(&[b"user", grant.user.to_string().as_bytes()]);
        self.0.keep(holder, grant, CODE_MS_MAX, world)
    }

    /// Takes a code in: at `app`, from the browser that holds `state` at `client`. Whatever the outcome, it is
    /// spent.
    pub fn redeem(
        &mut self,
        code: &Secret,
        app: AppId,
        (state, client): (&Secret, IpAddr),
        now_ms: u64,
    ) -> Option<Grant> {
        let grant = self.0.take(code, now_ms)?;
        (grant.app == app && grant.state == state.mark() && grant.near == near(client)).then_some(grant)
    }

    /// Forgets the codes of a session that ended.
    pub fn forget(&mut self, gone: impl Fn(&Grant) -> bool) {
        self.0.forget(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn grant(state: &Secret) -> Grant {
        Grant {
            session: SessionId::new(1, 1),
            user: UserId::new(1, 1),
            app: AppId::new(1, 1),
            state: state.mark(),
            near: near(HERE),
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
        assert_eq!(codes.redeem(&code, app, (&state, HERE), world.now_ms()), Some(grant(&state)));
        assert_eq!(codes.redeem(&code, app, (&state, HERE), world.now_ms()), None, "spent");
        let elsewhere = IpAddr::from([198, 51, 100, 1]);
        for (at, by, from, later) in [
            (AppId::new(1, 2), &state, HERE, 0),
            (app, &other, HERE, 0),
            (app, &state, elsewhere, 0),
            (app, &state, HERE, CODE_MS_MAX),
        ] {
            let code = codes.make(grant(&state), &*world);
            assert_eq!(codes.redeem(&code, at, (by, from), world.now_ms() + later), None);
            assert_eq!(
                codes.redeem(&code, app, (&state, HERE), world.now_ms()),
                None,
                "a wrong try spends it"
            );
        }
        let code = codes.make(grant(&state), &*world);
        codes.forget(|grant| grant.session == SessionId::new(1, 1));
        assert_eq!(codes.redeem(&code, app, (&state, HERE), world.now_ms()), None, "its session ended");
    }

    #[test]
    fn near_is_a_neighbourhood_and_not_the_world() {
        let is_near =
            |a: &str, b: &str| near(a.parse().expect("address")) == near(b.parse().expect("address"));
        for (a, b, expect) in [
            ("192.0.2.1", "192.0.2.200", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("192.0.2.1", "::ffff:192.0.2.9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", true),
            ("2001:db8:1::1", "2001:db8:2::1", false),
            ("192.0.2.1", "2001:db8::1", false),
            ("127.0.0.1", "::1", true),
        ] {
            assert_eq!(is_near(a, b), expect, "{a} {b}");
        }
    }

    #[test]
    fn one_user_asking_again_and_again_pushes_out_nobody_elses() {
        let world = Fixed::at(5);
        let state = Secret::new(&*world);
        let mut codes = Codes::default();
        let other = codes.make(Grant { user: UserId::new(1, 2), ..grant(&state) }, &*world);
        for _ in 0..2 * CODES_MAX {
            codes.make(grant(&state), &*world);
        }
        assert!(codes.redeem(&other, AppId::new(1, 1), (&state, HERE), world.now_ms()).is_some());
    }
}
