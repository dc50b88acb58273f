//! Databases: the only place that names a rusqlite type.
