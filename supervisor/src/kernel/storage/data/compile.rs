//! The first wall: a query becomes SQL. Identifiers come from the schema's registry, values are bound, and the
//! space is the first thing every statement asks for.
//!
//! Everything in a query is an app's: operators, field names, values. A field without an index is looked up in
//! the body by a function; its name is bound like a value.

use rusqlite::types::Value;

use super::error::{DataError, Result};
use super::json::{self, shown};
use super::key::{self, tag};
use super::limits::{
    FIELD_BYTES_MAX, FIELD_PARTS_MAX, IN_VALUES_MAX, ORDER_FIELDS_MAX, PREFIX_BYTES_MAX, STATEMENT,
    WHERE_BYTES_MAX, WHERE_DEPTH_MAX, WHERE_VALUES_MAX,
};
use super::schema::Table;

/// Values of a statement, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Values(pub(super) Vec<Value>);

impl Values {
    /// Binds a value; its place in the text.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("?{}", self.0.len())
    }
}

/// What a field is in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// The document's id.
    Id,
    /// A number that the kernel keeps: its column.
    Count(&'static str),
    /// An ordering key: column or function.
    Key(String),
}

impl Field {
    /// Column or expression.
    pub(super) fn sql(&self) -> &str {
        match self {
            Self::Id => "id",
            Self::Count(column) => column,
            Self::Key(sql) => sql,
        }
    }
}

/// Compiles the queries of one statement.
pub(super) struct Compiler<'a> {
    table: &'a Table,
    pub(super) values: Values,
    compared: usize,
    /// Fields that a query compares with one value, that it orders by, and that it compares otherwise.
    equal: Vec<String>,
    ordered: Vec<String>,
    others: Vec<String>,
}

impl<'a> Compiler<'a> {
    /// For a collection; the space's number is the first value.
    pub(super) fn new(table: &'a Table, space: i64) -> Self {
        Self {
            table,
            values: Values(vec![Value::Integer(space)]),
            compared: 0,
            equal: Vec::new(),
            ordered: Vec::new(),
            others: Vec::new(),
        }
    }

    /// What to tell an app whose query took too long: the index that would serve it.
    pub(super) fn slow(&self) -> String {
        let kept = ["id", "version", "created", "updated"];
        let mut fields: Vec<&str> = Vec::new();
        for field in self.equal.iter().chain(&self.ordered).chain(&self.others) {
            let own = !kept.contains(&field.as_str()) || self.table.fields.contains_key(field);
            if own && !field.contains('.') && !fields.contains(&field.as_str()) && fields.len() < 4 {
                fields.push(field);
            }
        }
        let late = format!("the query took longer than {} ms", STATEMENT.as_millis());
        let known = fields.iter().all(|field| self.table.shadow(field).is_some());
        if fields.is_empty() || known && fields.len() == 1 {
            return format!("{late}: narrow it down, by `where` or a lower `limit`");
        }
        let list: Vec<_> = fields.iter().map(|field| format!("\"{}\"", shown(field))).collect();
        format!(
            "{late}: declare an index for it in app.json, \"collections\": {{ \"{}\": {{ \"indexes\": [[{}]] }} }}",
            shown(&self.table.name),
            list.join(", ")
        )
    }

    /// A `where` as a condition; none: every document.
    pub(super) fn filter(&mut self, text: &str) -> Result<String> {
        if text.len() > WHERE_BYTES_MAX {
            return Err(DataError::large("`where`", text.len(), WHERE_BYTES_MAX));
        }
        json::check_query(text).map_err(|wrong| DataError::query(format!("`where` is {wrong}")))?;
        self.all(text, 0)
    }

    /// Every condition of an object.
    fn all(&mut self, text: &str, depth: usize) -> Result<String> {
        if depth > WHERE_DEPTH_MAX {
            return Err(DataError::query(format!("`where` is nested more than {WHERE_DEPTH_MAX} deep")));
        }
        let Some(entries) = json::entries(text) else {
            return Err(DataError::query("a condition is an object such as { done: false }"));
        };
        let mut parts = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            parts.push(match &*name {
                "$and" => self.several(&name, value, "AND", depth)?,
                "$or" => self.several(&name, value, "OR", depth)?,
                "$not" => format!("NOT ({})", self.all(value, depth + 1)?),
                field => self.field_condition(field, value)?,
            });
        }
        Ok(join(&parts, "AND", "1"))
    }

    fn several(&mut self, name: &str, value: &str, between: &str, depth: usize) -> Result<String> {
        let items = json::items(value).filter(|items| !items.is_empty()).ok_or_else(|| {
            DataError::query(format!("`{name}` takes a list of conditions, and at least one"))
        })?;
        let parts: Vec<_> = items.into_iter().map(|item| self.all(item, depth + 1)).collect::<Result<_>>()?;
        Ok(join(&parts, between, "1"))
    }

    fn field_condition(&mut self, name: &str, value: &str) -> Result<String> {
        if json::special(name) {
            return Err(DataError::query(format!(
                "unknown operator `{}`: conditions are joined by $and, $or and $not",
                shown(name)
            )));
        }
        let field = self.field(name)?;
        let entries = json::entries(value).unwrap_or_default();
        let operators = entries.iter().filter(|(key, _)| json::special(key) && !is_typed(key)).count();
        if operators == 0 {
            return self.compare(name, &field, "$eq", value);
        }
        if operators < entries.len() {
            return Err(DataError::query(format!(
                "`{}` has operators and plain keys: take $eq for comparing with an object",
                shown(name)
            )));
        }
        let parts: Vec<_> = entries
            .iter()
            .map(|(operator, operand)| self.compare(name, &field, operator, operand))
            .collect::<Result<_>>()?;
        Ok(join(&parts, "AND", "1"))
    }

    /// What a name stands for. `created` and `updated` are the kernel's unless the schema has such a field.
    pub(super) fn field(&mut self, name: &str) -> Result<Field> {
        let own = self.table.fields.contains_key(name);
        match name {
            "id" => return Ok(Field::Id),
            "version" => return Ok(Field::Count("version")),
            "created" if !own => return Ok(Field::Count("created")),
            "updated" if !own => return Ok(Field::Count("updated")),
            _ => {}
        }
        if let Some(k) = self.table.shadow(name) {
            return Ok(Field::Key(format!("k{k}")));
        }
        let parts = name.split('.').count();
        if name.len() > FIELD_BYTES_MAX || parts > FIELD_PARTS_MAX || name.split('.').any(str::is_empty) {
            return Err(DataError::query(format!(
                "`{}` is no field: names joined by dots, {FIELD_PARTS_MAX} at most, {FIELD_BYTES_MAX} bytes in all",
                shown(name)
            )));
        }
        let path = self.values.bind(name.to_owned());
        Ok(Field::Key(format!("fz_key(body, {path})")))
    }

    fn compare(&mut self, name: &str, field: &Field, operator: &str, operand: &str) -> Result<String> {
        let known =
            ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$prefix", "$contains"];
        if !known.contains(&operator) {
            return Err(DataError::query(format!(
                "unknown operator `{}`; known are {}",
                shown(operator),
                known.join(", ")
            )));
        }
        json::check(operand)
            .map_err(|wrong| DataError::query(format!("`{}`: {operator}: {wrong}", shown(name))))?;
        match operator {
            "$eq" => self.equal.push(name.to_owned()),
            "$contains" | "$ne" | "$nin" => {}
            _ => self.others.push(name.to_owned()),
        }
        match operator {
            "$in" | "$nin" => self.among(name, field, operator, operand),
            "$exists" => {
                let wanted = match operand {
                    "true" => true,
                    "false" => false,
                    _ => return Err(wrong(name, operator, "takes true or false")),
                };
                Ok(match (field, wanted) {
                    (Field::Key(sql), true) => format!("{sql} > x'00'"),
                    (Field::Key(sql), false) => format!("{sql} = x'00'"),
                    (_, wanted) => u8::from(wanted).to_string(),
                })
            }
            "$prefix" | "$contains" => self.text(name, field, operator, operand),
            _ => {
                self.count(1)?;
                match field {
                    Field::Key(sql) => self.compare_key(name, sql, operator, operand),
                    Field::Id => self.compare_id(name, operator, operand),
                    Field::Count(column) => self.compare_count(name, column, operator, operand),
                }
            }
        }
    }

    fn count(&mut self, values: usize) -> Result<()> {
        self.compared += values;
        if self.compared > WHERE_VALUES_MAX {
            return Err(DataError::query(format!(
                "`where` compares with more than {WHERE_VALUES_MAX} values"
            )));
        }
        Ok(())
    }

    fn compare_key(&mut self, name: &str, sql: &str, operator: &str, operand: &str) -> Result<String> {
        let key = key::of(operand);
        let first = key[0];
        if operator == "$eq" || operator == "$ne" {
            let null = first == tag::NULL;
            let at = self.values.bind(key);
            // A field that is missing is null.
            return Ok(match (operator == "$eq", null) {
                (true, false) => format!("{sql} = {at}"),
                (false, false) => format!("{sql} <> {at}"),
                (true, true) => format!("{sql} <= {at}"),
                (false, true) => format!("{sql} > {at}"),
            });
        }
        let (lowest, end) =
            key::class(first).ok_or_else(|| wrong(name, operator, "takes a number, a date or a text"))?;
        let at = self.values.bind(key);
        let (sign, bound) = match operator {
            "$gt" => (">", format!("{sql} < {}", self.values.bind(vec![end]))),
            "$gte" => (">=", format!("{sql} < {}", self.values.bind(vec![end]))),
            "$lt" => ("<", format!("{sql} >= {}", self.values.bind(vec![lowest]))),
            _ => ("<=", format!("{sql} >= {}", self.values.bind(vec![lowest]))),
        };
        Ok(format!("({sql} {sign} {at} AND {bound})"))
    }

    fn compare_id(&mut self, name: &str, operator: &str, operand: &str) -> Result<String> {
        let sign = sign(operator);
        match json::unquote(operand) {
            Some(text) => {
                let at = self.values.bind(text.into_owned());
                Ok(format!("id {sign} {at}"))
            }
            None => no_match(name, operator, operand),
        }
    }

    fn compare_count(&mut self, name: &str, column: &str, operator: &str, operand: &str) -> Result<String> {
        match count_of(column, operand) {
            Some(number) => {
                let at = self.values.bind(number);
                Ok(format!("{column} {} {at}", sign(operator)))
            }
            None => no_match(name, operator, operand),
        }
    }

    fn among(&mut self, name: &str, field: &Field, operator: &str, operand: &str) -> Result<String> {
        let items = json::items(operand).ok_or_else(|| wrong(name, operator, "takes a list of values"))?;
        if items.len() > IN_VALUES_MAX {
            return Err(wrong(name, operator, &format!("takes at most {IN_VALUES_MAX} values")));
        }
        self.count(items.len())?;
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            match field {
                Field::Key(_) => {
                    let key = key::of(item);
                    if key == key::NULL {
                        places.push("x'00'".to_owned());
                    }
                    places.push(self.values.bind(key));
                }
                Field::Id => {
                    let text = json::unquote(item).map(|text| self.values.bind(text.into_owned()));
                    places.extend(text);
                }
                Field::Count(column) => {
                    let number = count_of(column, item).map(|number| self.values.bind(number));
                    places.extend(number);
                }
            }
        }
        let not = if operator == "$in" { "" } else { "NOT " };
        if places.is_empty() {
            // Nothing that a document has is NULL.
            return Ok(format!("{} IS {}NULL", field.sql(), if operator == "$in" { "" } else { "NOT " }));
        }
        Ok(format!("{} {not}IN ({})", field.sql(), places.join(", ")))
    }

    fn text(&mut self, name: &str, field: &Field, operator: &str, operand: &str) -> Result<String> {
        self.count(1)?;
        let text = json::unquote(operand);
        if text.as_ref().map_or(operand.len(), |text| text.len()) > PREFIX_BYTES_MAX {
            return Err(wrong(name, operator, &format!("takes at most {PREFIX_BYTES_MAX} bytes")));
        }
        match (field, operator, text) {
            (Field::Key(sql), "$prefix", Some(text)) => {
                let mut from = vec![tag::STRING];
                from.extend_from_slice(text.as_bytes());
                let end = key::after_prefix(&from);
                let (from, end) = (self.values.bind(from), self.values.bind(end));
                Ok(format!("({sql} >= {from} AND {sql} < {end})"))
            }
            (Field::Id, "$prefix", Some(text)) => {
                let end = text_after_prefix(&text).map(|end| self.values.bind(end));
                let from = self.values.bind(text.into_owned());
                Ok(match end {
                    Some(end) => format!("(id >= {from} AND id < {end})"),
                    None => format!("id >= {from}"),
                })
            }
            (Field::Count(_), "$prefix", Some(_)) => Ok("0".into()),
            (_, "$prefix", None) => Err(wrong(name, operator, "takes a text")),
            (Field::Key(_), _, _) => {
                let path = self.values.bind(name.to_owned());
                let wanted = self.values.bind(key::of(operand));
                Ok(format!("fz_contains(body, {path}, {wanted})"))
            }
            _ => Err(wrong(name, operator, "looks into lists and texts of the document")),
        }
    }

    /// Fields to order by, each with whether it is descending; the last is always the id.
    pub(super) fn order(&mut self, order: &[(String, bool)]) -> Result<Vec<(Field, bool)>> {
        if order.len() > ORDER_FIELDS_MAX {
            return Err(DataError::query(format!("`order` names more than {ORDER_FIELDS_MAX} fields")));
        }
        let mut fields: Vec<(Field, bool)> = Vec::with_capacity(order.len() + 1);
        for (name, descending) in order {
            if json::special(name) {
                return Err(DataError::query(format!("`{}` is no field to order by", shown(name))));
            }
            let field = self.field(name)?;
            let id = field == Field::Id;
            fields.push((field, *descending));
            self.ordered.push(name.clone());
            if id {
                return Ok(fields);
            }
        }
        let descending = fields.last().is_some_and(|(_, descending)| *descending);
        fields.push((Field::Id, descending));
        Ok(fields)
    }

    /// The condition of being behind a place in an order.
    pub(super) fn behind(&mut self, order: &[(Field, bool)], place: Vec<Value>) -> String {
        let places: Vec<_> = place.into_iter().map(|value| self.values.bind(value)).collect();
        let sign = |descending: bool| if descending { "<" } else { ">" };
        if order.iter().all(|(_, descending)| *descending == order[0].1) {
            let fields: Vec<_> = order.iter().map(|(field, _)| field.sql()).collect();
            return format!("({}) {} ({})", fields.join(", "), sign(order[0].1), places.join(", "));
        }
        let mut ways = Vec::with_capacity(order.len());
        for (at, (field, descending)) in order.iter().enumerate() {
            let mut parts: Vec<String> =
                (0..at).map(|before| format!("{} = {}", order[before].0.sql(), places[before])).collect();
            parts.push(format!("{} {} {}", field.sql(), sign(*descending), places[at]));
            ways.push(join(&parts, "AND", "1"));
        }
        join(&ways, "OR", "1")
    }
}

/// Joins conditions as a balanced tree: SQLite bounds the depth of expressions.
fn join(parts: &[String], between: &str, none: &str) -> String {
    match parts {
        [] => none.into(),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!("({} {between} {})", join(left, between, none), join(right, between, none))
        }
    }
}

fn is_typed(key: &str) -> bool {
    matches!(key, "$date" | "$bytes" | "$number" | "$bigint")
}

fn sign(operator: &str) -> &'static str {
    match operator {
        "$eq" => "=",
        "$ne" => "<>",
        "$gt" => ">",
        "$gte" => ">=",
        "$lt" => "<",
        _ => "<=",
    }
}

/// A comparison of a kernel's field with a value of another type.
fn no_match(name: &str, operator: &str, operand: &str) -> Result<String> {
    match operator {
        "$eq" => Ok("0".into()),
        "$ne" => Ok("1".into()),
        _ if key::class(key::of(operand)[0]).is_some() => Ok("0".into()),
        _ => Err(wrong(name, operator, "takes a number, a date or a text")),
    }
}

/// A number for one of the kernel's columns; times may be dates.
fn count_of(column: &str, operand: &str) -> Option<Value> {
    let date = || {
        let entries = json::entries(operand)?;
        let [(name, ms)] = &entries[..] else { return None };
        (name == "$date").then(|| ms.parse().ok()).flatten().map(Value::Integer)
    };
    let number = || operand.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Real);
    number().or_else(|| if column == "version" { None } else { date() })
}

/// The first text that is larger than every text with this prefix; none: there is none.
pub(super) fn text_after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn wrong(name: &str, operator: &str, what: &str) -> DataError {
    DataError::query(format!("`{}`: {operator} {what}", shown(name)))
}
