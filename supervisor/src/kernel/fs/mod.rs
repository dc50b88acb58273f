//! Apps as files: manifest, deploys, versions, assets, code.
