//! The description of the admin API: OpenAPI 3.1, made from the table that routes it.

use axum::Json;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::table::{Gives, Operation, TABLE, Takes, Verb};
use crate::kernel::security::Need;

/// `GET /api/openapi.json`
pub(super) async fn describe() -> Json<Value> {
    Json(document())
}

/// Whether the operation is had at the OS origin too.
pub(super) fn is_remote(operation: &Operation) -> bool {
    operation.need != Need::Console
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator()
}

/// The whole description.
pub(super) fn document() -> Value {
    let mut asked = generator(SchemaSettings::draft2020_12().for_deserialize());
    let mut given = generator(SchemaSettings::draft2020_12().for_serialize());
    let failed = given.subschema_for::<fazt_ipc::control::Failed>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for operation in TABLE.iter().filter(|operation| is_remote(operation)) {
        let verb = match operation.verb {
            Verb::Get => "get",
            Verb::Post => "post",
            Verb::Put => "put",
            Verb::Delete => "delete",
        };
        let (media_type, answer) = match operation.gives {
            Gives::Nothing => ("application/json", json!({ "type": "object" })),
            Gives::Document => ("application/json", json!({ "type": "object" })),
            Gives::Json(shape) => ("application/json", shape(&mut given).to_value()),
            // One schema for each line.
            Gives::Lines(shape) => ("application/x-ndjson", shape(&mut given).to_value()),
            Gives::Bytes(media_type) => (media_type, json!({ "type": "string", "format": "binary" })),
            Gives::Text => ("text/plain", json!({ "type": "string" })),
        };
        let mut entry = json!({
            "operationId": operation.name,
            "summary": operation.about,
            "tags": [operation.name.split('.').next().unwrap_or_default()],
            "parameters": parameters(operation),
            "responses": {
                "200": { "description": "Done.", "content": { media_type: { "schema": answer } } },
                "default": {
                    "description": "Not done.",
                    "content": { "application/json": { "schema": failed } },
                },
            },
            "x-fazt-scopes": scopes(operation.need),
        });
        entry["security"] =
            if operation.need == Need::Nothing { json!([]) } else { json!([{ "token": [] }]) };
        let body = match operation.takes {
            Takes::Nothing => None,
            Takes::Json(shape) | Takes::Maybe(shape) => {
                Some(("application/json", shape(&mut asked).to_value()))
            }
            Takes::Bytes => {
                Some(("application/octet-stream", json!({ "type": "string", "format": "binary" })))
            }
        };
        if let Some((media_type, schema)) = body {
            entry["requestBody"] = json!({ "required": !matches!(operation.takes, Takes::Maybe(_)), "content": { media_type: { "schema": schema } } });
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[verb] = entry;
    }
    let mut schemas = asked.take_definitions(true);
    schemas.extend(given.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fazt admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The operations of the command line. Every failure is {\"error\": {\"code\", \"message\", \"hint\"}}.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of fazt security token new; never a cookie.",
            } },
        },
    })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let inside = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = inside
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let query = operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.about,
            "schema": { "type": parameter.kind },
        })
    });
    path.chain(query).collect()
}

/// Which scopes of a token reach an operation.
pub(super) fn scopes(need: Need) -> &'static [&'static str] {
    match need {
        Need::Nothing | Need::Console => &[],
        Need::Token | Need::App => &["admin", "app:NAME", "deploy:NAME"],
        Need::Deploy => &["admin", "deploy:NAME"],
        Need::Server => &["admin"],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_operation_is_described_with_schemas_that_are_there() {
        let document = document();
        let mut names = BTreeSet::new();
        for operation in TABLE {
            assert!(names.insert(operation.name), "two operations are named {}", operation.name);
            assert!(operation.about.ends_with('.'), "{}: {}", operation.name, operation.about);
            let found = document["paths"][operation.path]
                .as_object()
                .into_iter()
                .flat_map(Map::values)
                .any(|entry| entry["operationId"] == operation.name);
            assert_eq!(found, is_remote(operation), "{}", operation.name);
        }
        let text = document.to_string();
        let referred: BTreeSet<&str> = text
            .split("\"$ref\":\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(referred.len() > 20, "{referred:?}");
        for name in referred {
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
        }
    }

    /// `operations.md`: what each scope reaches. Whoever changes it changes what a token opens.
    #[test]
    fn the_page_of_operations_is_that_of_the_table() {
        let mut page = String::from(
            "# Operations\n\nMade from the table that routes them; a test compares (`FAZT_UPDATE=1` writes it anew). All are \
             had over the\ncontrol socket; with a scope, also at `https://DOMAIN/api/…` with `Authorization: Bearer \
             fazt_…`. A token of the\nscope `app:NAME` or `deploy:NAME` reaches them for its app alone, and only where its user \
             is the owner or an admin.\nBoth look at the app and its processes; only the second changes its code and \
             variables, and only the first\nacts as its user at the app's own origin. Making, renaming and removing \
             apps wants `admin`.\n\n| operation | name | what it does | scopes |\n|---|---|---|---|\n",
        );
        for operation in TABLE {
            let scopes = match operation.need {
                Need::Nothing => "none needed".to_owned(),
                Need::Token => "any".to_owned(),
                Need::Console => "on the server only".to_owned(),
                need => scopes(need).iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", "),
            };
            let verb = format!("{:?}", operation.verb).to_uppercase();
            page.push_str(&format!(
                "| `{verb} {}` | `{}` | {} | {scopes} |\n",
                operation.path, operation.name, operation.about
            ));
        }
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernel/net/control/operations.md");
        if std::env::var_os("FAZT_UPDATE").is_some_and(|value| value == "1") {
            std::fs::write(&path, &page).expect("writable");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page, "{} is out of date: run the tests with FAZT_UPDATE=1", path.display());
    }
}
