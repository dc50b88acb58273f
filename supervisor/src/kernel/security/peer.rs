//! The decision at the control socket: may this local process command the server. The kernel vouches for the
//! ids; what the peer says of itself is not asked.

/// Ids of the process at the other end, from `SO_PEERCRED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
}

/// Ids of the server: those of the supervisor, and of the person who started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// The user that the supervisor runs as.
    pub uid: u32,
    /// The group that the socket is open to; none where the server runs as an ordinary user.
    pub gid: Option<u32>,
}

/// Leave to command the server. Only [`admit`] makes it.
#[must_use = "leave that is not handed on was asked for in vain"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    peer: Peer,
}

impl Admin {
    /// Who commands, for the log.
    #[must_use]
    pub const fn peer(self) -> Peer {
        self.peer
    }
}

/// The peer may not command this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user {uid} may not command this server: only root, its own user and its group may")]
pub struct PeerRefused {
    /// Who tried.
    pub uid: u32,
}

/// May `peer` command `server`?
///
/// # Errors
/// When it is neither root, nor the server's own user, nor in its group.
pub fn admit(peer: Peer, server: Server) -> Result<Admin, PeerRefused> {
    // Group 0 is no one's by default but many daemons' by habit: being in it is not being root.
    let by_group = server.gid.is_some_and(|gid| gid != 0 && gid == peer.gid);
    if peer.uid == 0 || peer.uid == server.uid || by_group {
        Ok(Admin { peer })
    } else {
        Err(PeerRefused { uid: peer.uid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_server_itself_and_its_group_command() {
        let server = Server { uid: 990, gid: Some(980) };
        for (uid, gid, allowed) in
            [(0, 0, true), (990, 1, true), (1000, 980, true), (1000, 1000, false), (1000, 0, false)]
        {
            assert_eq!(admit(Peer { uid, gid }, server).is_ok(), allowed, "{uid}:{gid}");
        }
    }

    #[test]
    fn the_root_group_opens_nothing() {
        let server = Server { uid: 0, gid: Some(0) };
        assert!(admit(Peer { uid: 1000, gid: 0 }, server).is_err());
        assert!(admit(Peer { uid: 1000, gid: 0 }, Server { uid: 1, gid: None }).is_err());
    }
}
