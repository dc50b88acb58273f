//! The JSON Schema of `app.json`, for editors. The server's own check decides; this one says the same earlier.

use fazt_ipc::limits;
use serde_json::{Value, json};

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "default": false, "description": about })
}

fn number(about: &str, default: u32, least: u32, most: u32) -> Value {
    json!({ "type": "integer", "description": about, "default": default, "minimum": least, "maximum": most })
}

/// An object that has these keys and no others.
fn object(about: &str, properties: Value, required: &[&str]) -> Value {
    let mut object = json!({
        "type": "object", "description": about, "properties": properties, "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An object with keys of one's own choice.
fn map(about: &str, values: Value) -> Value {
    json!({ "type": "object", "description": about, "additionalProperties": values })
}

fn list(about: &str, items: Value) -> Value {
    json!({ "type": "array", "description": about, "items": items })
}

fn collections() -> Value {
    let name = json!({ "type": "string" });
    map(
        "Collections of documents by name",
        object(
            "A collection",
            json!({
                "indexes": list("Lists of fields to find by", list("Fields in order", name)),
                "schema": map("Type of each field", json!({
                    "enum": ["string", "integer", "number", "boolean", "json"],
                })),
            }),
            &[],
        ),
    )
}

fn permissions() -> Value {
    object(
        "What the app asks the owner for; nothing is granted by itself",
        json!({
            "net": list("Hosts that it may reach; *.example.org means any below", json!({ "type": "string" })),
            "schedule": flag("Runs without a request"),
            "push": flag("Sends push messages"),
            "sql": flag("A SQLite file of its own"),
            "spaces": flag("Shares data between people"),
            "apps": map("Data of other apps, by name", json!({ "enum": ["read", "write"] })),
        }),
        &[],
    )
}

fn cron() -> Value {
    list(
        "Scheduled runs",
        object(
            "A scheduled run",
            json!({
                "name": text("Its name"),
                "schedule": text("Minute, hour, day of month, month, day of week"),
                "timezone": text("IANA name, such as Europe/Berlin; UTC without one"),
                "missed": {
                    "enum": ["run-once", "skip"],
                    "description": "What happens to a run that was due while the server was off",
                },
                "perUser": flag("Once as each member who opted in"),
            }),
            &["name", "schedule"],
        ),
    )
}

fn env() -> Value {
    list(
        "Variables that the owner sets",
        object(
            "A variable",
            json!({
                "name": text("Its name in `env`"),
                "required": flag("The app does not start without it"),
                "secret": flag("Stored sealed, never shown again"),
                "description": text("For the owner"),
                "default": text("Where the owner sets none"),
            }),
            &["name"],
        ),
    )
}

fn bounds() -> Value {
    object(
        "Limits of the app's processes and data",
        json!({
            "memoryMiB": number(
                "JavaScript heap", limits::MEMORY_MIB_DEFAULT, limits::MEMORY_MIB_MIN, limits::MEMORY_MIB_MAX),
            "cpuMs": number("CPU time of one request", limits::CPU_MS_DEFAULT, 1, limits::CPU_MS_MAX),
            "wallS": number("Wall time of one request", limits::WALL_S_DEFAULT, 1, limits::WALL_S_MAX),
            "storageMiB": number("Data", limits::STORAGE_MIB_DEFAULT, 1, limits::STORAGE_MIB_MAX),
        }),
        &[],
    )
}

/// The schema.
pub(super) fn schema() -> Value {
    let properties = json!({
        "name": {
            "type": "string",
            "description": "Suggested name; it becomes part of the host name",
            "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        },
        "version": text("Version for people"),
        "description": text("One line for people"),
        "license": text("SPDX expression"),
        "homepage": text("Where the app comes from"),
        "icon": text("Path of an image"),
        "main": text("Path of the module that answers requests; an app without one is static"),
        "assets": text("Folder that is served as it is"),
        "spa": flag("Unknown paths get the assets' index.html"),
        "compatibilityDate": {
            "type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}$",
            "description": "The runtime behaves as on that day",
        },
        "access": {
            "enum": ["public", "members", "owner"],
            "description": "Who may reach it: anyone, people whom the owner admitted, the owner",
        },
        "collections": collections(),
        "permissions": permissions(),
        "cron": cron(),
        "env": env(),
        "limits": bounds(),
    });
    let mut schema = object("Manifest of an app for Fazt", properties, &[]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("app.json");
    schema
}
