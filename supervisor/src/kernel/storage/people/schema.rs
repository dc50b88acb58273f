//! Tables about people, step by step.

/// The step of the schema that makes the tables.
pub(in super::super) const SCHEMA: &str = "
    CREATE TABLE user(
        id       TEXT PRIMARY KEY,
        name     TEXT NOT NULL UNIQUE,
        role     TEXT NOT NULL CHECK(role IN ('member', 'admin', 'owner')),
        -- Ids of apps with a space between; null: all.
        apps     TEXT,
        password TEXT,
        created  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX user_owner ON user(role) WHERE role = 'owner';
    CREATE TABLE session(
        id      TEXT PRIMARY KEY,
        mark    BLOB NOT NULL UNIQUE,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        parent  TEXT REFERENCES session(id) ON DELETE CASCADE,
        app     TEXT,
        created INTEGER NOT NULL,
        seen    INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        address TEXT NOT NULL,
        agent   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_user ON session(user, created);
    CREATE INDEX session_parent ON session(parent);
    CREATE TABLE invite(
        mark    BLOB PRIMARY KEY,
        -- Whom it lets in; null: it makes a user of this role.
        user    TEXT REFERENCES user(id) ON DELETE CASCADE,
        role    TEXT NOT NULL,
        apps    TEXT,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX invite_user ON invite(user);
    CREATE TABLE token(
        id      TEXT PRIMARY KEY,
        mark    BLOB NOT NULL UNIQUE,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        -- The app that it is for; null: it commands the server.
        app     TEXT,
        note    TEXT NOT NULL,
        created INTEGER NOT NULL,
        used    INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX token_user ON token(user);
    CREATE TABLE audit(
        n       INTEGER PRIMARY KEY AUTOINCREMENT,
        at      INTEGER NOT NULL,
        who     TEXT NOT NULL,
        action  TEXT NOT NULL,
        target  TEXT NOT NULL,
        ok      INTEGER NOT NULL,
        address TEXT NOT NULL,
        detail  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_at ON audit(at);
";

/// The step that makes room for passkeys.
pub(in super::super) const PASSKEYS: &str = "
    CREATE TABLE passkey(
        id      TEXT PRIMARY KEY,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        note    TEXT NOT NULL,
        key     TEXT NOT NULL,
        created INTEGER NOT NULL,
        used    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX passkey_user ON passkey(user);
";

/// The step that makes proofs fresh or stale, checks against what changed meanwhile, and keeps what was refused
/// from pushing out what was done.
pub(in super::super) const PROOFS: &str = "
    -- Grows whenever a way in is taken away or another password is set.
    ALTER TABLE user ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN proved INTEGER NOT NULL DEFAULT 0;
    -- The link ends the codes of an app too.
    ALTER TABLE invite ADD COLUMN resets INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX audit_ok ON audit(ok, n);
    -- One browser has one session at an app's origin.
    DELETE FROM session WHERE app IS NOT NULL AND EXISTS(
        SELECT 1 FROM session AS other
        WHERE other.parent = session.parent AND other.app = session.app AND other.id > session.id);
    DROP INDEX session_parent;
    CREATE UNIQUE INDEX session_parent ON session(parent, app) WHERE parent IS NOT NULL;
    CREATE TABLE totp(
        user   TEXT PRIMARY KEY REFERENCES user(id) ON DELETE CASCADE,
        sealed BLOB NOT NULL,
        -- The latest step whose code was used.
        step   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE recovery(
        user TEXT NOT NULL REFERENCES totp(user) ON DELETE CASCADE,
        mark BLOB NOT NULL,
        PRIMARY KEY(user, mark)
    ) STRICT, WITHOUT ROWID;
";
