//! `kernel.db`: certificates that the server shows, and its accounts at authorities that issue them. The keys are here
//! sealed, under a key that lies beside the database.

use rusqlite::{OptionalExtension as _, params};

use super::error::StorageError;
use super::kernel::KernelDb;

/// The step of the schema that makes the table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE certificate(
        name    TEXT PRIMARY KEY,
        chain   TEXT NOT NULL,
        sealed  BLOB NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE acme_account(
        directory TEXT PRIMARY KEY,
        sealed    BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A certificate as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Whose: a host, or a word of the kernel that no host can be.
    pub name: String,
    /// It, and those that it was signed by, in PEM.
    pub chain: String,
    /// Its key as PKCS #8, sealed.
    pub sealed: Vec<u8>,
    /// It is good until then, in milliseconds since 1970.
    pub expires_unix_ms: u64,
}

/// What the seal of a key is bound to.
#[must_use]
pub fn certificate_place(name: &str) -> Vec<u8> {
    format!("certificate\0{name}").into_bytes()
}

/// What the seal of an account is bound to.
#[must_use]
pub fn account_place(directory: &str) -> Vec<u8> {
    format!("acme\0{directory}").into_bytes()
}

impl KernelDb {
    /// The certificate of this name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn certificate(&self, name: &str) -> Result<Option<CertificateRow>, StorageError> {
        let sql = "SELECT name, chain, sealed, expires FROM certificate WHERE name = ?1";
        let found = self.connection.query_row(sql, [name], |row| {
            Ok(CertificateRow {
                name: row.get(0)?,
                chain: row.get(1)?,
                sealed: row.get(2)?,
                expires_unix_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        });
        found.optional().map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// Stores a certificate in place of the one of its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_certificate(&mut self, row: &CertificateRow) -> Result<(), StorageError> {
        let sql = "INSERT INTO certificate(name, chain, sealed, expires) VALUES(?1, ?2, ?3, ?4)
            ON CONFLICT(name) DO UPDATE
            SET chain = excluded.chain, sealed = excluded.sealed, expires = excluded.expires";
        let expires = row.expires_unix_ms.cast_signed();
        let done = self.connection.execute(sql, params![row.name, row.chain, row.sealed, expires]);
        done.map(drop).map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// Forgets certificates that ended before this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_certificates(&mut self, unix_ms: u64) -> Result<(), StorageError> {
        let done =
            self.connection.execute("DELETE FROM certificate WHERE expires < ?1", [unix_ms.cast_signed()]);
        done.map(drop).map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// The account at an authority, sealed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn acme_account(&self, directory: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT sealed FROM acme_account WHERE directory = ?1";
        let found = self.connection.query_row(sql, [directory], |row| row.get(0));
        found.optional().map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// Stores an account in place of the one at its authority.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_acme_account(&mut self, directory: &str, sealed: &[u8]) -> Result<(), StorageError> {
        let sql = "INSERT INTO acme_account(directory, sealed) VALUES(?1, ?2)
            ON CONFLICT(directory) DO UPDATE SET sealed = excluded.sealed";
        let done = self.connection.execute(sql, params![directory, sealed]);
        done.map(drop).map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// Forgets the account at an authority.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_acme_account(&mut self, directory: &str) -> Result<(), StorageError> {
        let done = self.connection.execute("DELETE FROM acme_account WHERE directory = ?1", [directory]);
        done.map(drop).map_err(|error| StorageError::sqlite(&self.path, &error))
    }
}
