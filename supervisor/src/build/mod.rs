//! The build role: runs inside a `build` jail, reads hostile sources from fd 3, answers with what the deploy needs.
