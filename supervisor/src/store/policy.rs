//! What a statement may do: everything with its own file, nothing beyond. Default: deny. The jail is the wall; this
//! gives an error in place of a death, and keeps a file in the form that the next process finds it in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Pragmas that read, with or without a name.
const READING: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];
/// Switches that last to the end of the call at most.
const SWITCHES: &[&str] = &["defer_foreign_keys", "foreign_keys"];
/// Pragmas that take nothing. Full-text search asks for the first itself.
const PLAIN: &[&str] = &["data_version", "optimize", "page_count"];

/// Tables that are not SQLite's own.
const MODULES: &[&str] = &["fts5", "fts5vocab"];

/// Functions. Some run long without looking at the clock: the process ends itself then. Not here: what loads code,
/// what tells about the program, and whatever a later SQLite brings.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "->", "->>", "abs", "avg", "bm25", "cast", "ceil", "ceiling", "changes", "char", "coalesce", "concat", "concat_ws",
    "count", "cume_dist", "current_date", "current_time", "current_timestamp", "date", "datetime", "dense_rank",
    "exp", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "degrees", "floor", "ln", "log",
    "log10", "log2", "mod", "pi", "pow", "power", "radians", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    "first_value", "format", "fts5", "fts5_source_id", "fts5_locale", "fts5_get_locale", "fts5_insttoken", "glob",
    "group_concat", "hex", "highlight", "if", "ifnull", "iif", "instr", "json", "json_array", "json_array_length",
    "json_array_insert", "jsonb_array_insert",
    "json_each", "json_error_position", "json_extract", "json_group_array", "json_group_object", "json_insert",
    "json_object", "json_patch", "json_pretty", "json_quote", "json_remove", "json_replace", "json_set", "json_tree",
    "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_each", "jsonb_extract", "jsonb_group_array",
    "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_patch", "jsonb_remove", "jsonb_replace", "jsonb_set",
    "jsonb_tree", "julianday", "lag", "last_insert_rowid", "last_value", "lead", "length", "like", "likelihood",
    "likely", "lower", "ltrim", "match", "max", "median", "min", "nth_value", "ntile", "nullif", "octet_length",
    "percent_rank", "percentile", "percentile_cont", "percentile_disc", "printf", "quote", "random", "randomblob",
    "rank", "replace", "round", "row_number", "rtrim", "sign", "snippet", "soundex", "strftime",
    "string_agg", "subtype", "substr", "substring", "sum", "time", "timediff", "total", "total_changes", "trim",
    // What ALTER TABLE asks of itself: statements cannot name them.
    "sqlite_add_constraint", "sqlite_drop_column", "sqlite_drop_constraint", "sqlite_fail", "sqlite_find_constraint",
    "sqlite_rename_column", "sqlite_rename_quotefix", "sqlite_rename_table", "sqlite_rename_test",
    "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unixepoch", "unlikely", "upper", "zeroblob",
];

/// Whoever holds it says whether the role's own statements are about to run.
#[derive(Debug, Clone, Default)]
pub(super) struct Own(Arc<AtomicBool>);

impl Own {
    pub(super) fn set(&self, own: bool) {
        self.0.store(own, Ordering::Relaxed);
    }
}

/// The wall in front of statements of the app.
pub(super) fn authorizer(own: Own) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send + 'static {
    move |asked| {
        if own.0.load(Ordering::Relaxed) || allows(&asked.action) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }
}

fn allows(action: &AuthAction<'_>) -> bool {
    let among = |names: &[&str], name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
    match action {
        AuthAction::Select
        | AuthAction::Recursive
        | AuthAction::Read { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::DropTable { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::DropView { .. }
        | AuthAction::DropTrigger { .. }
        | AuthAction::AlterTable { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Analyze { .. } => true,
        AuthAction::CreateVtable { module_name, .. } | AuthAction::DropVtable { module_name, .. } => {
            among(MODULES, module_name)
        }
        AuthAction::Function { function_name } => among(FUNCTIONS, function_name),
        AuthAction::Pragma { pragma_name, pragma_value } => match pragma_value {
            None => among(READING, pragma_name) || among(SWITCHES, pragma_name) || among(PLAIN, pragma_name),
            Some(value) => {
                let switch = ["on", "off", "true", "false", "yes", "no", "0", "1"];
                among(READING, pragma_name) || (among(SWITCHES, pragma_name) && among(&switch, value))
            }
        },
        // Among others temporary tables, which would be gone at the next call, and transactions: they are a batch, or
        // one statement.
        _ => false,
    }
}

/// Whether a function may be called.
#[cfg(test)]
pub(super) fn is_known(function: &str) -> bool {
    FUNCTIONS.contains(&function)
}
