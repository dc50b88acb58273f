//! As much of JSON Schema as our own descriptions use; anything else is a failure, so that nothing passes unseen.

use serde_json::Value;

/// Checks `value` against `schema`, whose references lead into `document`.
///
/// # Errors
/// Where it differs, and how.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "$")
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else {
        return if schema == &Value::Bool(true) { Ok(()) } else { Err(format!("{place}: schema {schema}")) };
    };
    let fail = |what: &str| Err(format!("{place}: {value} is not {what}"));
    for (rule, wanted) in rules {
        match rule.as_str() {
            "description" | "title" | "format" | "default" | "contentEncoding" => {}
            "$ref" => {
                let pointer = wanted.as_str().and_then(|to| to.strip_prefix('#')).unwrap_or_default();
                let to = document.pointer(pointer).ok_or_else(|| format!("{place}: no schema {wanted}"))?;
                at(document, to, value, place)?;
            }
            "type" => {
                let names: Vec<&str> = match wanted {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    name => name.as_str().into_iter().collect(),
                };
                let is = |name: &&str| match *name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    _ => false,
                };
                if !names.iter().any(is) {
                    return fail(&wanted.to_string());
                }
            }
            "const" if value != wanted => return fail(&wanted.to_string()),
            "enum" if !wanted.as_array().is_some_and(|of| of.contains(value)) => {
                return fail(&format!("one of {wanted}"));
            }
            "const" | "enum" => {}
            "minimum" => {
                if value.as_f64().zip(wanted.as_f64()).is_some_and(|(is, least)| is < least) {
                    return fail(&format!("at least {wanted}"));
                }
            }
            // What they say of text is said by the types already.
            "maximum" | "pattern" | "minLength" | "maxLength" | "minItems" | "maxItems" => {}
            "oneOf" | "anyOf" => {
                let of = wanted.as_array().ok_or("not a list of schemas")?;
                let fits = of.iter().filter(|schema| at(document, schema, value, place).is_ok()).count();
                if fits == 0 || (rule == "oneOf" && fits > 1) {
                    return fail(&format!("{rule} of {wanted}"));
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    if rules
                        .get("prefixItems")
                        .is_none_or(|first| first.as_array().is_none_or(|f| n >= f.len()))
                    {
                        at(document, wanted, item, &format!("{place}[{n}]"))?;
                    }
                }
            }
            "prefixItems" => {
                for (n, schema) in wanted.as_array().into_iter().flatten().enumerate() {
                    at(document, schema, &value[n], &format!("{place}[{n}]"))?;
                }
            }
            "required" => {
                for name in wanted.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        return fail(&format!("complete: `{name}` is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in wanted.as_object().into_iter().flatten() {
                    if let Some(inner) = value.get(name) {
                        at(document, schema, inner, &format!("{place}.{name}"))?;
                    }
                }
                // Ours are closed: an answer with a field that is not described is a mistake.
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    if wanted.get(name).is_none() && rules.get("additionalProperties").is_none() {
                        return fail(&format!("described: `{name}`"));
                    }
                }
            }
            "additionalProperties" => {
                let known =
                    |name: &str| rules.get("properties").is_some_and(|known| known.get(name).is_some());
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if !known(name) && wanted.is_object() {
                        at(document, wanted, inner, &format!("{place}.{name}"))?;
                    }
                }
            }
            _ => return Err(format!("{place}: the rule `{rule}` is not known here")),
        }
    }
    Ok(())
}
