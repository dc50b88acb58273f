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

/// The step that keeps apart the tokens that change an app.
pub(in super::super) const DEPLOYS: &str = "
    ALTER TABLE token ADD COLUMN deploys INTEGER NOT NULL DEFAULT 0;
";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_file_of_before_keeps_its_people_and_the_newest_session_of_each_browser_and_app() {
        let db = Connection::open_in_memory().expect("database");
        db.execute_batch("PRAGMA foreign_keys = ON").expect("keys");
        db.execute_batch(SCHEMA).expect("the first step");
        db.execute_batch(PASSKEYS).expect("the second");
        db.execute_batch(
            "INSERT INTO user(id, name, role, password, created) VALUES('u', 'anna', 'owner', 'x', 1);
             INSERT INTO session(id, mark, user, parent, app, created, seen, expires, address, agent) VALUES
             ('s1', x'01', 'u', NULL, NULL, 1, 1, 9, '', ''), ('s2', x'02', 'u', NULL, NULL, 1, 1, 9, '', ''),
             ('s3', x'03', 'u', 's1', 'a', 1, 1, 9, '', ''), ('s4', x'04', 'u', 's1', 'a', 2, 2, 9, '', ''),
             ('s5', x'05', 'u', 's1', 'b', 2, 2, 9, '', ''), ('s6', x'06', 'u', 's2', 'a', 2, 2, 9, '', '');",
        )
        .expect("rows of before");
        db.execute_batch(PROOFS).expect("the step");
        let mut left = db.prepare("SELECT id FROM session ORDER BY id").expect("query");
        let left: Vec<String> =
            left.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("ids");
        assert_eq!(left, ["s1", "s2", "s4", "s5", "s6"]);
        let user = db.query_row("SELECT epoch, password FROM user", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        });
        assert_eq!(user.expect("anna"), (0, "x".into()));
        // Nobody is taken to have just proved who they are.
        let proved: i64 = db.query_row("SELECT max(proved) FROM session", [], |row| row.get(0)).expect("sum");
        assert_eq!(proved, 0);
    }
}
