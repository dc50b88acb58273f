//! Names of apps: labels of a host name, because that is what they become.

use super::error::FsError;

/// Names that mean something to the server, to mail, to browsers or to people, and so cannot be an app's.
const RESERVED: &[&str] = &[
    "abuse",
    "acme",
    "admin",
    "administrator",
    "api",
    "autoconfig",
    "autodiscover",
    "broadcasthost",
    "fazt",
    "ftp",
    "hostmaster",
    "imap",
    "isatap",
    "localdomain",
    "localhost",
    "login",
    "mail",
    "mta-sts",
    "mx",
    "ns",
    "ns1",
    "ns2",
    "os",
    "pop",
    "postmaster",
    "root",
    "signin",
    "smtp",
    "webmaster",
    "wpad",
    "www",
];

/// Checks a name.
///
/// # Errors
/// When it is not 1 to 63 lowercase letters, digits and inner hyphens, or is reserved.
pub fn check(name: &str) -> Result<(), FsError> {
    let bad = |why| {
        Err(FsError::BadName { name: name.chars().take(80).flat_map(char::escape_default).collect(), why })
    };
    if name.is_empty() {
        return bad("it is empty");
    }
    if name.len() > 63 {
        return bad("it is longer than 63 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return bad("only lowercase letters, digits and hyphens are allowed");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return bad("it starts or ends with a hyphen");
    }
    // `xn--` would let a name look like another in an address bar; the other such prefixes are reserved too.
    if name.as_bytes().get(2..4) == Some(b"--") {
        return bad("two hyphens at the third place are reserved for encoded international names");
    }
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return bad("it is a number, which a host name may not end with");
    }
    if RESERVED.contains(&name) {
        return bad("it is reserved");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_label_that_nothing_else_wants() {
        for good in ["a", "notes", "my-app-2", "a1", "4ever"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "A",
            "my_app",
            "a.b",
            "-a",
            "a-",
            "xn--a",
            "admin",
            "www",
            "localhost",
            "os",
            "123",
            "é",
            "a b",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(RESERVED.is_sorted());
    }
}
