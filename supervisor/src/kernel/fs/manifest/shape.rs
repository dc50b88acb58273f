//! The grammar of `app.json` as data: one table from which checking and the JSON Schema both follow.

use fazt_ipc::limits;
use serde_json::{Map, Value as Json, json};

use super::ManifestError;
use super::json::{Node, Value, error};
use crate::kernel::security::Permission;

/// Bindings of one app.
const BINDINGS_MAX: usize = 32;

/// What a value may be.
pub(super) enum Shape {
    Bool,
    Integer { min: u32, max: u32 },
    Text { chars_max: usize, pattern: Option<&'static Pattern> },
    OneOf(&'static [&'static str]),
    List { of: &'static Shape, items_max: usize },
    Map { key: &'static Pattern, of: &'static Shape, items_max: usize },
    Object(&'static [Field]),
}

/// A key of an object.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// A form of text: for the schema as a regular expression, for the check as code.
pub(super) struct Pattern {
    pub(super) regex: &'static str,
    pub(super) what: &'static str,
    pub(super) check: fn(&str) -> bool,
}

const fn optional(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    Field { name, doc, shape, required: false }
}
const fn required(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    Field { name, doc, shape, required: true }
}
const fn text(chars_max: usize) -> Shape {
    Shape::Text { chars_max, pattern: None }
}
const fn form(chars_max: usize, pattern: &'static Pattern) -> Shape {
    Shape::Text { chars_max, pattern: Some(pattern) }
}

static NAME: Pattern = Pattern {
    regex: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    what: "1 to 63 lowercase letters, digits and inner hyphens, and not a reserved name",
    check: |text| super::super::name::check(text).is_ok(),
};
static PATH: Pattern = Pattern {
    regex: r"^(?!/)[^\\]+$",
    what: "a path inside the app, such as `server.js` or `public`",
    check: |text| text == "." || super::super::path::check(super::relative(text)).is_ok(),
};
static DATE: Pattern = Pattern {
    regex: "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    what: "a date such as 2026-11-20",
    check: super::form::date,
};
static HOST: Pattern = Pattern {
    regex: r"^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    what: "a host such as `api.github.com` or `*.example.org`: no scheme, port or path, lowercase",
    check: super::form::host,
};
static PREFIX: Pattern = Pattern {
    regex: "^.{0,256}$",
    what: "what a key begins with, 256 characters at most",
    check: |text| text.chars().count() <= 256 && !text.contains('\0'),
};
static PATHS: Pattern = Pattern {
    regex: r"^!?/[!-~]*$",
    what: "a path such as `/api/*`, perhaps with `!` in front",
    check: |text| {
        text.strip_prefix('!').unwrap_or(text).starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    },
};
static PERMISSION: Pattern = Pattern {
    regex: "^(net|apps|schedule|push|sql|spaces|net:[a-z0-9.*-]+|apps:[a-z0-9-]+:(read|write))$",
    what: "a permission such as `net:api.github.com` or `schedule`, or `net` or `apps`",
    check: |text| matches!(text, "net" | "apps") || text.parse::<Permission>().is_ok(),
};
static IDENTIFIER: Pattern = Pattern {
    regex: "^[A-Za-z][A-Za-z0-9_]{0,62}$",
    what: "a letter, then letters, digits and underscores, 63 at most",
    check: fazt_ipc::control::EnvChange::is_name,
};
static BINDING_NAME: Pattern = Pattern {
    regex: "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
    what: "a letter or underscore, then letters, digits and underscores, 64 at most",
    check: super::form::binding,
};
static LABEL: Pattern = Pattern {
    regex: "^[a-z0-9][a-z0-9-]{0,62}$",
    what: "1 to 63 lowercase letters, digits and hyphens",
    check: super::form::label,
};
static SCHEDULE: Pattern = Pattern {
    regex: r"^\S+( \S+){4}$",
    what: "five fields: minute, hour, day of month, month, day of week, such as `0 8 * * *`",
    check: super::form::schedule,
};
static TIMEZONE: Pattern = Pattern {
    regex: "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$",
    what: "a time zone such as `Europe/Berlin` or `UTC`",
    check: super::form::timezone,
};
static WEB: Pattern = Pattern {
    regex: r"^https?://\S+$",
    what: "a URL that starts with https:// or http://",
    check: |text| {
        (text.starts_with("https://") || text.starts_with("http://")) && !text.contains(char::is_whitespace)
    },
};

static ROUTE: Shape = form(256, &PATHS);
static INDEX_FIELD: Shape = form(63, &IDENTIFIER);
static INDEX: Shape = Shape::List { of: &INDEX_FIELD, items_max: 8 };
static HOST_TEXT: Shape = form(253, &HOST);
static FIELD_TYPE: Shape = Shape::OneOf(&["string", "integer", "number", "boolean", "json"]);
static BINDING: Shape = Shape::OneOf(&["kv", "r2", "d1", "queue", "assets"]);
static APP_ACCESS: Shape = Shape::OneOf(&["read", "write"]);

static COLLECTION_FIELDS: &[Field] = &[
    optional(
        "indexes",
        "Lists of fields that are looked up or sorted by.",
        Shape::List { of: &INDEX, items_max: 32 },
    ),
    optional(
        "schema",
        "Type of each field.",
        Shape::Map { key: &IDENTIFIER, of: &FIELD_TYPE, items_max: 100 },
    ),
];
static COLLECTION: Shape = Shape::Object(COLLECTION_FIELDS);

static CRON_FIELDS: &[Field] = &[
    required("name", "Name of the run, for `fazt proc run APP NAME`.", form(63, &LABEL)),
    required(
        "schedule",
        "Five fields: minute, hour, day of month, month, day of week.",
        form(100, &SCHEDULE),
    ),
    optional("event", "What the event says as its `cron`. Default: the schedule.", text(100)),
    optional("timezone", "IANA time zone. Default: UTC.", form(64, &TIMEZONE)),
    optional(
        "missed",
        "What happens to a run that was missed while the server was off. Default: skip.",
        Shape::OneOf(&["run-once", "skip"]),
    ),
    optional(
        "overlap",
        "What happens to a run while the one before it goes on. Default: skip.",
        Shape::OneOf(&["run", "skip"]),
    ),
    optional(
        "perUser",
        "Run once as each member who opted in. Default: false; members cannot opt in yet.",
        Shape::Bool,
    ),
];
static CRON: Shape = Shape::Object(CRON_FIELDS);

static ENV_FIELDS: &[Field] = &[
    required("name", "Name of the variable in `env`.", form(63, &IDENTIFIER)),
    optional("required", "The app does not start without it. Default: false.", Shape::Bool),
    optional("secret", "Never shown again once set. Default: false.", Shape::Bool),
    optional(
        "inject",
        "Hosts that this secret is for. The app never sees it, not in `env` either: `{{NAME}}` in a header of a `fetch` to one of them becomes its value outside of the app.",
        Shape::List { of: &HOST_TEXT, items_max: 16 },
    ),
    optional("description", "What the owner should set it to.", text(500)),
    optional("default", "Value where the owner sets none.", text(4096)),
    optional("json", "Its value is JSON, and the app sees what that says. Default: false.", Shape::Bool),
];
static ENV: Shape = Shape::Object(ENV_FIELDS);

static EXPORTS: &[Field] = &[
    optional(
        "collections",
        "Collections, and how far.",
        Shape::Map { key: &IDENTIFIER, of: &APP_ACCESS, items_max: 100 },
    ),
    optional(
        "blobs",
        "What keys of blobs begin with, and how far.",
        Shape::Map { key: &PREFIX, of: &APP_ACCESS, items_max: 100 },
    ),
];
static REASON: Shape = text(300);

static PERMISSIONS: &[Field] = &[
    optional("net", "Hosts that `fetch` may reach.", Shape::List { of: &HOST_TEXT, items_max: 100 }),
    optional("schedule", "Runs without a request.", Shape::Bool),
    optional("push", "Push messages.", Shape::Bool),
    optional("sql", "An SQLite file for each user.", Shape::Bool),
    optional("spaces", "Data shared between members.", Shape::Bool),
    optional("apps", "Other apps' data.", Shape::Map { key: &NAME, of: &APP_ACCESS, items_max: 32 }),
    optional(
        "reasons",
        "Why, shown to the owner: by permission, such as `net:api.github.com` or `schedule`; `net` and `apps` for all of them.",
        Shape::Map { key: &PERMISSION, of: &REASON, items_max: 140 },
    ),
];

static LIMITS: &[Field] = &[
    optional(
        "memoryMiB",
        "JavaScript heap of a worker.",
        Shape::Integer { min: limits::MEMORY_MIB_MIN, max: limits::MEMORY_MIB_MAX },
    ),
    optional("cpuMs", "CPU time of one request.", Shape::Integer { min: 1, max: limits::CPU_MS_MAX }),
    optional("wallS", "Wall time of one request.", Shape::Integer { min: 1, max: limits::WALL_S_MAX }),
    optional("storageMiB", "Data of the app.", Shape::Integer { min: 1, max: limits::STORAGE_MIB_MAX }),
];

/// The whole.
pub(super) static MANIFEST: &[Field] = &[
    optional("$schema", "Where this schema is, for editors.", text(500)),
    optional(
        "name",
        "Suggested name. The owner decides under which name the app is reached.",
        form(63, &NAME),
    ),
    optional("version", "Version for people.", text(64)),
    optional("description", "One line for people.", text(500)),
    optional("license", "SPDX expression.", text(100)),
    optional("homepage", "Where the app comes from.", form(500, &WEB)),
    optional("icon", "Image file of the app.", form(limits::PATH_BYTES_MAX, &PATH)),
    optional(
        "main",
        "Main module. Default: server.js, .ts, .mjs, .mts, .tsx or .jsx if there is one.",
        form(limits::PATH_BYTES_MAX, &PATH),
    ),
    optional(
        "assets",
        "Folder served as it is. Default: public if there is one; the app's top for an app that is only an index.html.",
        form(limits::PATH_BYTES_MAX, &PATH),
    ),
    optional("spa", "Unknown navigation paths get the assets' index.html. Default: false.", Shape::Bool),
    optional(
        "serverFirst",
        "Paths that the server answers even where a file is, such as `/*` or `/api/*`, where `*` is anything; with `!` in front, exceptions from those.",
        Shape::List { of: &ROUTE, items_max: 100 },
    ),
    optional("compatibilityDate", "Behaviour of the runtime as of this day.", form(10, &DATE)),
    optional(
        "access",
        "Who may reach the app. Default: the server's.",
        Shape::OneOf(&["public", "members", "owner"]),
    ),
    optional(
        "collections",
        "Collections of documents.",
        Shape::Map { key: &IDENTIFIER, of: &COLLECTION, items_max: 100 },
    ),
    optional(
        "permissions",
        "What the app asks the owner for. Everything is off by default.",
        Shape::Object(PERMISSIONS),
    ),
    optional(
        "exports",
        "What other apps may have of it where the owner grants it to them, as the same person and in their private space.",
        Shape::Object(EXPORTS),
    ),
    optional(
        "cron",
        "Scheduled runs. Needs the permission `schedule`.",
        Shape::List { of: &CRON, items_max: limits::CRON_MAX },
    ),
    optional("env", "Variables and secrets that the owner sets.", Shape::List { of: &ENV, items_max: 100 }),
    optional(
        "bindings",
        "Names in `env` for storage in the shapes of Workers KV, R2 and D1, for producers of Queues, and for static assets. Default: KV and BUCKET with the permission `spaces`, DB with `sql` as well.",
        Shape::Map { key: &BINDING_NAME, of: &BINDING, items_max: BINDINGS_MAX },
    ),
    optional("limits", "Limits of the app's workers and data.", Shape::Object(LIMITS)),
];

/// Checks a value; the first thing that is wrong is the error. `name` is what the value is called.
pub(super) fn check(source: &str, name: &str, node: &Node, shape: &Shape) -> Result<(), ManifestError> {
    let fail = |message: String| Err(error(source, node.at, message));
    let wrong = |wanted: &str| fail(format!("`{name}` must be {wanted}, not {}", node.value.what()));
    match (shape, &node.value) {
        (Shape::Bool, Value::Bool(_)) => Ok(()),
        (Shape::Bool, _) => wrong("true or false"),
        (Shape::Integer { min, max }, Value::Number(number)) => {
            if number.fract() == 0.0 && (f64::from(*min)..=f64::from(*max)).contains(number) {
                Ok(())
            } else {
                fail(format!("`{name}` must be a whole number from {min} to {max}, not {number}"))
            }
        }
        (Shape::Integer { min, max }, _) => wrong(&format!("a whole number from {min} to {max}")),
        (Shape::Text { chars_max, pattern }, Value::Text(value)) => {
            if value.chars().count() > *chars_max {
                return fail(format!(
                    "`{name}` may have {chars_max} characters, not {}",
                    value.chars().count()
                ));
            }
            match pattern {
                Some(pattern) if !(pattern.check)(value) => {
                    fail(format!("`{name}` must be {}, not `{}`", pattern.what, shown(value)))
                }
                _ if value.contains('\0') => fail(format!("`{name}` holds a NUL character")),
                _ => Ok(()),
            }
        }
        (Shape::Text { .. }, _) => wrong("a string"),
        (Shape::OneOf(values), Value::Text(value)) => {
            if values.contains(&value.as_str()) {
                Ok(())
            } else {
                fail(format!(
                    "`{name}` must be {}, not `{}`{}",
                    any_of(values),
                    shown(value),
                    meant(value, values.iter().copied())
                ))
            }
        }
        (Shape::OneOf(values), _) => wrong(&any_of(values)),
        (Shape::List { of, items_max }, Value::List(items)) => {
            if items.len() > *items_max {
                return fail(format!("`{name}` may have {items_max} entries, not {}", items.len()));
            }
            items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| check(source, &format!("{name}[{at}]"), item, of))
        }
        (Shape::List { .. }, _) => wrong("a list"),
        (Shape::Map { key, of, items_max }, Value::Object(entries)) => {
            if entries.len() > *items_max {
                return fail(format!("`{name}` may have {items_max} entries, not {}", entries.len()));
            }
            entries.iter().try_for_each(|(entry, at, node)| {
                if !(key.check)(entry) {
                    let message = format!("a key of `{name}` must be {}, not `{}`", key.what, shown(entry));
                    return Err(error(source, *at, message));
                }
                check(source, &format!("{name}.{entry}"), node, of)
            })
        }
        (Shape::Map { .. }, _) => wrong("an object"),
        (Shape::Object(fields), Value::Object(entries)) => object(source, name, node, fields, entries),
        (Shape::Object(_), _) => wrong("an object"),
    }
}

fn object(
    source: &str,
    name: &str,
    node: &Node,
    fields: &[Field],
    entries: &[(String, usize, Node)],
) -> Result<(), ManifestError> {
    let inner = |field: &str| if name == "app.json" { field.to_owned() } else { format!("{name}.{field}") };
    for (key, at, value) in entries {
        let Some(field) = fields.iter().find(|field| field.name == key) else {
            let what = if name == "permissions" { "permission" } else { "key" };
            let known = fields.iter().map(|field| field.name);
            let mut message = format!("unknown {what} `{}`", shown(key));
            if name != "app.json" && name != "permissions" {
                message.push_str(&format!(" in `{name}`"));
            }
            let hint = meant(key, known.clone());
            if hint.is_empty() {
                let known: Vec<_> = known.filter(|name| *name != "$schema").collect();
                message.push_str(&format!("; known are {}", known.join(", ")));
            }
            return Err(error(source, *at, message + &hint));
        };
        check(source, &inner(key), value, &field.shape)?;
    }
    match fields.iter().find(|field| field.required && !entries.iter().any(|(key, _, _)| key == field.name)) {
        Some(field) => Err(error(source, node.at, format!("`{}` is missing", inner(field.name)))),
        None => Ok(()),
    }
}

fn any_of(values: &[&str]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
    quoted.join(" or ")
}

/// Text of the author in a message: short, nothing that moves a terminal's cursor.
fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `; did you mean …?` when something known is close.
fn meant<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best =
        known.map(|name| (distance(&text.to_ascii_lowercase(), &name.to_ascii_lowercase()), name)).min();
    match best {
        Some((distance, name)) if distance <= 2.max(name.len() / 4) && distance < name.len() => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// Insertions, deletions and replacements between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// JSON Schema of a shape.
pub(super) fn schema(shape: &Shape) -> Json {
    match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Text { chars_max, pattern: None } => json!({ "type": "string", "maxLength": chars_max }),
        Shape::Text { chars_max, pattern: Some(pattern) } => {
            json!({ "type": "string", "maxLength": chars_max, "pattern": pattern.regex })
        }
        Shape::OneOf(values) => json!({ "enum": values }),
        Shape::List { of, items_max } => {
            json!({ "type": "array", "maxItems": items_max, "items": schema(of) })
        }
        Shape::Map { key, of, items_max } => json!({
            "type": "object",
            "maxProperties": items_max,
            "propertyNames": { "pattern": key.regex },
            "additionalProperties": schema(of),
        }),
        Shape::Object(fields) => {
            let mut properties = Map::new();
            for field in *fields {
                let mut one = schema(&field.shape);
                one["description"] = field.doc.into();
                properties.insert(field.name.into(), one);
            }
            let required: Vec<_> =
                fields.iter().filter(|field| field.required).map(|field| field.name).collect();
            let mut whole =
                json!({ "type": "object", "additionalProperties": false, "properties": properties });
            if !required.is_empty() {
                whole["required"] = required.into();
            }
            whole
        }
    }
}
