//! See `main.rs`: the tests of launcher and sandbox are one program that plays every role.
