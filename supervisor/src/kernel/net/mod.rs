//! HTTP: edge, routes, header rules, control API.
