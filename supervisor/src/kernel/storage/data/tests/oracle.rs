//! Random calls by several principals over private, shared and named spaces, answered twice: by the engine and
//! by a model in a few lines. They agree on every answer, errors, counts, orders and pages included.

use std::cmp::Ordering as Compare;

use fazt_ipc::ids::SpaceId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json as value};

use super::*;

/// People; 0 is nobody, the last is the app itself.
const PEOPLE: u128 = 4;

fn principal(n: u128) -> Principal {
    match n {
        0 => Principal::Anonymous,
        n if n > PEOPLE => Principal::Service,
        n => person(n),
    }
}

/// A space as the model names it: whose private one, the app's, or which room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Private(u128),
    App,
    Room(usize),
}

#[derive(Debug, Clone, PartialEq)]
struct Doc {
    version: u64,
    body: serde_json::Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    version: u64,
    value: String,
    expires: Option<u64>,
}

struct Room {
    id: SpaceId,
    name: String,
    members: BTreeMap<u128, Role>,
}

#[derive(Default)]
struct Model {
    docs: BTreeMap<(Where, String), Doc>,
    keys: BTreeMap<(Where, String), Key>,
    rooms: Vec<Room>,
    /// Codes that nobody used: room and role.
    invites: Vec<(String, usize, Role)>,
    now: u64,
}

/// Types in their order.
fn rank(value: Option<&Value>) -> u8 {
    match value {
        None => 0,
        Some(Value::Null) => 1,
        Some(Value::Bool(false)) => 2,
        Some(Value::Bool(true)) => 3,
        Some(Value::Number(_)) => 4,
        Some(Value::String(_)) => 7,
        Some(Value::Array(_)) => 9,
        Some(Value::Object(entries)) => match entries.keys().next().map(String::as_str) {
            Some("$bigint") => 5,
            Some("$date") => 6,
            Some("$bytes") => 8,
            _ => 10,
        },
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Compare {
    let bigint = |v: &Value| v["$bigint"].as_str().and_then(|t| t.parse::<i64>().ok());
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(a), Some(b)) => match rank(Some(a)) {
            4 => a.as_f64().partial_cmp(&b.as_f64()).expect("numbers"),
            5 => bigint(a).cmp(&bigint(b)),
            6 => a["$date"].as_i64().cmp(&b["$date"].as_i64()),
            7 => a.as_str().cmp(&b.as_str()),
            // Of lists there are two, of objects and bytes one.
            9 => a.as_array().map(Vec::len).cmp(&b.as_array().map(Vec::len)),
            // Never ordered by, only equal or not: those that are ordered are of one kind.
            10 if a != b => Compare::Less,
            _ => Compare::Equal,
        },
        _ => Compare::Equal,
    })
}

fn same(a: Option<&Value>, b: &Value) -> bool {
    (b.is_null() && a.is_none()) || compare(a, Some(b)) == Compare::Equal
}

/// A field of a document as a query sees it.
fn field<'a>(id: &'a Value, version: &'a Value, doc: &'a Doc, name: &str) -> Option<&'a Value> {
    match name {
        "id" => Some(id),
        "version" => Some(version),
        "o.x" => doc.body.get("o")?.as_object()?.get("x"),
        name => doc.body.get(name),
    }
}

#[derive(Debug, Clone)]
enum Cond {
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
    Field(&'static str, &'static str, Value),
}

impl Cond {
    fn json(&self) -> Value {
        match self {
            Self::All(parts) => value!({ "$and": parts.iter().map(Self::json).collect::<Vec<_>>() }),
            Self::Any(parts) => value!({ "$or": parts.iter().map(Self::json).collect::<Vec<_>>() }),
            Self::Not(part) => value!({ "$not": part.json() }),
            Self::Field(name, "", operand) => value!({ *name: operand }),
            Self::Field(name, operator, operand) => value!({ *name: { *operator: operand } }),
        }
    }

    fn holds(&self, get: &dyn Fn(&str) -> Option<Value>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(get)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(get)),
            Self::Not(part) => !part.holds(get),
            Self::Field(name, operator, operand) => {
                let found = get(name);
                let found = found.as_ref();
                // The kernel's own fields are there and have one type.
                let kept = matches!(*name, "id" | "version");
                let class = |v: &Value| match rank(Some(v)) {
                    2 | 3 => 2,
                    other => other,
                };
                let close = found.is_some_and(|found| class(found) == class(operand));
                let order = compare(found, Some(operand));
                match *operator {
                    "" | "$eq" => same(found, operand) && !(kept && operand.is_null()),
                    "$ne" => !same(found, operand),
                    "$gt" => close && order == Compare::Greater,
                    "$gte" => close && order != Compare::Less,
                    "$lt" => close && order == Compare::Less,
                    "$lte" => close && order != Compare::Greater,
                    "$in" => operand.as_array().expect("list").iter().any(|one| same(found, one)),
                    "$nin" => !operand.as_array().expect("list").iter().any(|one| same(found, one)),
                    "$exists" => found.is_some() == operand.as_bool().expect("bool"),
                    "$prefix" => found
                        .and_then(Value::as_str)
                        .is_some_and(|t| t.starts_with(operand.as_str().expect("text"))),
                    _ => match found {
                        Some(Value::Array(items)) => {
                            items.iter().any(|one| compare(Some(one), Some(operand)) == Compare::Equal)
                        }
                        Some(Value::String(text)) => operand.as_str().is_some_and(|part| text.contains(part)),
                        _ => false,
                    },
                }
            }
        }
    }
}

fn any_value(rng: &mut StdRng) -> Value {
    match rng.random_range(0..14) {
        0 => Value::Null,
        1 => value!(true),
        2 => value!(false),
        3..6 => value!(rng.random_range(-2..4)),
        6 => value!(0.5),
        7..9 => value!((["", "a", "ab", "b", "é"])[rng.random_range(0..5)]),
        9 => value!({ "$date": rng.random_range(-2..3) }),
        10 => value!({ "$bigint": (["5", "-7", "12", "-100"])[rng.random_range(0..4)] }),
        11 => {
            if rng.random() {
                value!([1, "a"])
            } else {
                value!([])
            }
        }
        12 => value!({ "x": 1 }),
        _ => value!({ "$bytes": "AQI=" }),
    }
}

fn any_body(rng: &mut StdRng, id: Option<String>) -> Value {
    let mut body = serde_json::Map::new();
    id.map(|id| body.insert("id".into(), id.into()));
    for name in ["n", "m"] {
        if rng.random_bool(0.7) {
            body.insert(name.into(), any_value(rng));
        }
    }
    if rng.random_bool(0.4) {
        body.insert("o".into(), value!({ "x": any_value(rng) }));
    }
    if rng.random_bool(0.5) {
        body.insert("done".into(), value!(rng.random::<bool>()));
    }
    if rng.random_bool(0.5) {
        let title =
            if rng.random_bool(0.03) { value!(5) } else { value!((["x", "y", ""])[rng.random_range(0..3)]) };
        body.insert("title".into(), title);
    }
    Value::Object(body)
}

fn any_id(rng: &mut StdRng) -> String {
    format!("d{}", rng.random_range(0..12))
}

fn any_cond(rng: &mut StdRng, depth: u32) -> Cond {
    if depth < 3 && rng.random_bool(0.35) {
        let parts =
            |rng: &mut StdRng| (0..rng.random_range(1..4)).map(|_| any_cond(rng, depth + 1)).collect();
        return match rng.random_range(0..3) {
            0 => Cond::All(parts(rng)),
            1 => Cond::Any(parts(rng)),
            _ => Cond::Not(Box::new(any_cond(rng, depth + 1))),
        };
    }
    let name = (["n", "n", "m", "done", "title", "o.x", "o", "id", "version"])[rng.random_range(0..9)];
    let operator =
        (["", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$prefix", "$contains"])
            [rng.random_range(0..12)];
    let operand = match operator {
        "$in" | "$nin" => Value::Array((0..rng.random_range(0..4)).map(|_| any_value(rng)).collect()),
        "$exists" => value!(rng.random::<bool>()),
        "$prefix" => value!((["", "a", "d1"])[rng.random_range(0..3)]),
        "$gt" | "$gte" | "$lt" | "$lte" => loop {
            let one = if name == "id" { value!(any_id(rng)) } else { any_value(rng) };
            if matches!(rank(Some(&one)), 2..=8) {
                break one;
            }
        },
        "$contains" if name == "id" || name == "version" => return any_cond(rng, depth),
        _ if name == "id" => value!(any_id(rng)),
        _ => any_value(rng),
    };
    Cond::Field(name, operator, operand)
}

impl Model {
    /// What the caller may do in a space, or the error.
    fn allowed(
        &self,
        who: u128,
        place: &SpaceName,
        room: Option<usize>,
        writes: bool,
    ) -> Result<Where, ErrorCode> {
        let signed_in = || match who {
            0 => Err(ErrorCode::SignInRequired),
            who if who > PEOPLE => Err(ErrorCode::PermissionDenied),
            who => Ok(who),
        };
        match place {
            SpaceName::App => Ok(Where::App),
            SpaceName::User => signed_in().map(Where::Private),
            SpaceName::Named(_) => {
                let who = signed_in()?;
                let room = room.ok_or(ErrorCode::NotFound)?;
                match self.rooms[room].members.get(&who) {
                    None => Err(ErrorCode::NotFound),
                    Some(Role::Reader) if writes => Err(ErrorCode::PermissionDenied),
                    Some(_) => Ok(Where::Room(room)),
                }
            }
        }
    }

    fn whole(id: &str, doc: &Doc) -> Value {
        let mut body = doc.body.clone();
        body.insert("id".into(), id.into());
        body.insert("version".into(), doc.version.into());
        Value::Object(body)
    }

    fn good(body: &Value) -> bool {
        body.get("title").is_none_or(|title| title.is_string() || title.is_null())
    }

    /// The id is given: the model cannot guess the kernel's.
    fn store(&mut self, place: Where, id: &str, body: &Value, merge: bool) -> Value {
        let mut fresh = body.as_object().expect("object").clone();
        fresh.remove("id");
        let entry = self.docs.entry((place, id.to_owned()));
        let doc = entry.or_insert(Doc { version: 0, body: serde_json::Map::new() });
        doc.version += 1;
        if merge {
            doc.body.extend(fresh);
        } else {
            doc.body = fresh;
        }
        Self::whole(id, doc)
    }

    fn write(&mut self, place: Where, write: &DocWrite) -> Result<Option<Value>, ErrorCode> {
        let version =
            |this: &Self, id: &str| this.docs.get(&(place, id.to_owned())).map_or(0, |doc| doc.version);
        let expect = |this: &Self, wanted: Option<u64>, id: &str| match wanted {
            Some(wanted) if wanted != version(this, id) => Err(ErrorCode::Conflict),
            _ => Ok(()),
        };
        let checked = |text: &str| {
            let body = json(text);
            if Self::good(&body) { Ok(body) } else { Err(ErrorCode::InvalidArgument) }
        };
        match write {
            DocWrite::Put { body, if_version } => {
                let body = checked(body)?;
                let id = body["id"].as_str().expect("id").to_owned();
                expect(self, *if_version, &id)?;
                Ok(Some(self.store(place, &id, &body, false)))
            }
            DocWrite::Insert { body } => {
                let body = checked(body)?;
                let id = body["id"].as_str().expect("id").to_owned();
                if version(self, &id) > 0 {
                    return Err(ErrorCode::Conflict);
                }
                Ok(Some(self.store(place, &id, &body, false)))
            }
            DocWrite::Update { id, patch, if_version } => {
                let patch = checked(patch)?;
                if version(self, id) == 0 {
                    return Err(ErrorCode::NotFound);
                }
                expect(self, *if_version, id)?;
                Ok(Some(self.store(place, id, &patch, true)))
            }
            DocWrite::Delete { id, if_version } => {
                expect(self, *if_version, id)?;
                self.docs.remove(&(place, id.clone()));
                Ok(None)
            }
        }
    }

    /// Every document that a query finds, in order.
    fn find(&self, place: Where, cond: Option<&Cond>, order: &[(String, bool)]) -> Vec<Value> {
        let mut found: Vec<(Value, Value, &Doc)> = self
            .docs
            .iter()
            .filter(|((at, _), _)| *at == place)
            .map(|((_, id), doc)| (value!(id), value!(doc.version), doc))
            .filter(|(id, version, doc)| {
                cond.is_none_or(|cond| cond.holds(&|name| field(id, version, doc, name).cloned()))
            })
            .collect();
        let last = order.last().is_some_and(|(_, down)| *down);
        found.sort_by(|a, b| {
            let turn = |compare: Compare, down: bool| if down { compare.reverse() } else { compare };
            order
                .iter()
                .map(|(name, down)| {
                    turn(compare(field(&a.0, &a.1, a.2, name), field(&b.0, &b.1, b.2, name)), *down)
                })
                .find(|compare| *compare != Compare::Equal)
                .unwrap_or_else(|| turn(compare(Some(&a.0), Some(&b.0)), last))
        });
        found.iter().map(|(id, _, doc)| Self::whole(id.as_str().expect("id"), doc)).collect()
    }

    fn key(&self, place: Where, key: &str) -> Option<&Key> {
        self.keys.get(&(place, key.to_owned())).filter(|key| key.expires.is_none_or(|at| at > self.now))
    }
}

/// An answer reduced to what the model can say.
#[derive(Debug, PartialEq)]
enum Said {
    Error(ErrorCode),
    Values(Vec<Value>),
    Flag(bool),
    Number(u64),
}

struct Run {
    stage: Stage,
    model: Model,
    rng: StdRng,
}

impl Run {
    fn any_space(&mut self) -> (SpaceName, Option<usize>) {
        match self.rng.random_range(0..8) {
            0..3 => (SpaceName::User, None),
            3 => (SpaceName::App, None),
            4 if self.rng.random_bool(0.2) => (SpaceName::Named(SpaceId::new(9, self.rng.random())), None),
            _ if self.model.rooms.is_empty() => (SpaceName::App, None),
            _ => {
                let room = self.rng.random_range(0..self.model.rooms.len());
                (SpaceName::Named(self.model.rooms[room].id), Some(room))
            }
        }
    }

    fn any_write(&mut self) -> DocWrite {
        let rng = &mut self.rng;
        let id = any_id(rng);
        let if_version = if rng.random_bool(0.25) { Some(rng.random_range(0..4)) } else { None };
        match rng.random_range(0..10) {
            0..4 => DocWrite::Put { body: any_body(rng, Some(id)).to_string(), if_version },
            4..6 => DocWrite::Insert { body: any_body(rng, Some(id)).to_string() },
            6..8 => DocWrite::Update { id, patch: any_body(rng, None).to_string(), if_version },
            _ => DocWrite::Delete { id, if_version },
        }
    }

    async fn step(&mut self) {
        if self.rng.random_bool(0.1) {
            let ms = self.rng.random_range(0..3_000);
            self.stage.later(ms);
            self.model.now += ms;
        }
        match self.rng.random_range(0..20) {
            0..3 => self.write().await,
            3..5 => self.batch().await,
            5..7 => self.get().await,
            7..12 => self.query().await,
            12..16 => self.keys().await,
            _ => self.spaces().await,
        }
    }

    fn agree(&self, what: &dyn std::fmt::Debug, who: u128, model: Said, engine: Said) {
        assert_eq!(model, engine, "model and engine differ: {} {what:?}", principal(who));
    }

    async fn write(&mut self) {
        let (who, (space, room), write) =
            (self.rng.random_range(0..PEOPLE + 2), self.any_space(), self.any_write());
        let deletes = matches!(write, DocWrite::Delete { .. });
        let place = self.model.allowed(who, &space, room, true);
        let was = |model: &Model, place, id: &str| model.docs.contains_key(&(place, id.to_owned()));
        let there = match (&place, &write) {
            (Ok(place), DocWrite::Delete { id, .. }) => was(&self.model, *place, id),
            _ => false,
        };
        let model = match place.and_then(|place| self.model.write(place, &write)) {
            Err(code) => Said::Error(code),
            Ok(_) if deletes => Said::Flag(there),
            Ok(document) => Said::Values(document.into_iter().collect()),
        };
        let engine = match self.stage.doc(principal(who), space, DocCall::Write(write.clone())).await {
            Err(error) => Said::Error(error.code),
            Ok(Response::Deleted(there)) => Said::Flag(there),
            Ok(Response::Doc(document)) => Said::Values(document.iter().map(|text| json(text)).collect()),
            other => panic!("{other:?}"),
        };
        self.agree(&(space, write), who, model, engine);
    }

    async fn batch(&mut self) {
        let (who, (space, room)) = (self.rng.random_range(0..PEOPLE + 2), self.any_space());
        let writes: Vec<_> = (0..self.rng.random_range(1..5)).map(|_| self.any_write()).collect();
        let place = self.model.allowed(who, &space, room, true);
        let before = self.model.docs.clone();
        let model = place.and_then(|place| {
            writes.iter().map(|write| self.model.write(place, write)).collect::<Result<Vec<_>, _>>()
        });
        let model = match model {
            Err(code) => {
                self.model.docs = before;
                Said::Error(code)
            }
            Ok(documents) => Said::Values(documents.into_iter().map(|d| d.unwrap_or(Value::Null)).collect()),
        };
        let engine = match self.stage.doc(principal(who), space, DocCall::Batch(writes.clone())).await {
            Err(error) => Said::Error(error.code),
            Ok(Response::Written(written)) => Said::Values(
                written.iter().map(|d| d.as_ref().map_or(Value::Null, |text| json(text))).collect(),
            ),
            other => panic!("{other:?}"),
        };
        self.agree(&(space, writes), who, model, engine);
    }

    async fn get(&mut self) {
        let (who, (space, room), id) =
            (self.rng.random_range(0..PEOPLE + 2), self.any_space(), any_id(&mut self.rng));
        let model = match self.model.allowed(who, &space, room, false) {
            Err(code) => Said::Error(code),
            Ok(place) => {
                let doc = self.model.docs.get(&(place, id.clone()));
                Said::Values(doc.map(|doc| Model::whole(&id, doc)).into_iter().collect())
            }
        };
        let engine = match self.stage.doc(principal(who), space, DocCall::Get { id: id.clone() }).await {
            Err(error) => Said::Error(error.code),
            Ok(Response::Doc(document)) => Said::Values(document.iter().map(|text| json(text)).collect()),
            other => panic!("{other:?}"),
        };
        self.agree(&(space, id), who, model, engine);
    }

    async fn query(&mut self) {
        let (who, (space, room)) = (self.rng.random_range(0..PEOPLE + 2), self.any_space());
        let cond = if self.rng.random_bool(0.8) { Some(any_cond(&mut self.rng, 0)) } else { None };
        let names = ["n", "m", "done", "title", "o.x", "id", "version"];
        let order: Vec<_> = (0..self.rng.random_range(0..4))
            .map(|_| (names[self.rng.random_range(0..names.len())].to_owned(), self.rng.random()))
            .collect();
        // Ids are unique: what stands behind them says nothing.
        let end = order.iter().position(|(name, _)| name == "id").map_or(order.len(), |at| at + 1);
        let filter = cond.as_ref().map(|cond| cond.json().to_string());
        let found = self
            .model
            .allowed(who, &space, room, false)
            .map(|place| self.model.find(place, cond.as_ref(), &order[..end]));
        let count = self.stage.doc(principal(who), space, DocCall::Count { filter: filter.clone() }).await;
        let count = match count {
            Err(error) => Said::Error(error.code),
            Ok(Response::Count(count)) => Said::Number(count),
            other => panic!("{other:?}"),
        };
        let expect = match &found {
            Err(code) => Said::Error(*code),
            Ok(found) => Said::Number(found.len() as u64),
        };
        self.agree(&(space, &filter), who, expect, count);
        let limit = Some(self.rng.random_range(1..8));
        let mut find = Find { filter, order, limit, cursor: None };
        let mut items = Vec::new();
        let engine = loop {
            match self.stage.find(principal(who), space, find.clone()).await {
                Err(error) => break Said::Error(error.code),
                Ok((page, cursor)) => {
                    items.extend(page.iter().map(|text| json(text)));
                    find.cursor = cursor;
                    if find.cursor.is_none() {
                        break Said::Values(items);
                    }
                }
            }
        };
        self.agree(&(space, find), who, found.map_or_else(Said::Error, Said::Values), engine);
    }

    async fn keys(&mut self) {
        let (who, (space, room)) = (self.rng.random_range(0..PEOPLE + 2), self.any_space());
        let key = format!("k{}", self.rng.random_range(0..6));
        let if_version = if self.rng.random_bool(0.3) { Some(self.rng.random_range(0..4)) } else { None };
        let call = match self.rng.random_range(0..4) {
            0 => KvCall::Get { key: key.clone() },
            1 => KvCall::Delete { key: key.clone(), if_version },
            2 => KvCall::List {
                prefix: (["", "k", "k1", "x"])[self.rng.random_range(0..4)].into(),
                limit: None,
                cursor: None,
            },
            _ => {
                let ttl_s = if self.rng.random_bool(0.5) { Some(self.rng.random_range(1..5)) } else { None };
                let value = self.rng.random_range(0..100).to_string().into_bytes();
                KvCall::Set {
                    key: key.clone(),
                    value,
                    kind: KvKind::Json,
                    meta: None,
                    ttl_s,
                    expires_unix_ms: None,
                    if_version,
                }
            }
        };
        let writes = matches!(call, KvCall::Set { .. } | KvCall::Delete { .. });
        let model = self.model.allowed(who, &space, room, writes).and_then(|place| {
            let version = self.model.key(place, &key).map_or(0, |key| key.version);
            if writes && if_version.is_some_and(|wanted| wanted != version) {
                return Err(ErrorCode::Conflict);
            }
            let at = (place, key.clone());
            Ok(match &call {
                KvCall::Get { key } => {
                    let found = self.model.key(place, key);
                    Said::Values(found.map(|k| value!([k.value, k.version, k.expires])).into_iter().collect())
                }
                KvCall::Delete { .. } => {
                    self.model.keys.remove(&at);
                    Said::Flag(version > 0)
                }
                KvCall::Set { value, ttl_s, .. } => {
                    let value = String::from_utf8(value.clone()).expect("text");
                    let expires = ttl_s.map(|ttl_s| self.model.now + ttl_s * 1_000);
                    self.model.keys.insert(at, Key { version: version + 1, value, expires });
                    Said::Number(version + 1)
                }
                KvCall::List { prefix, .. } => {
                    let live =
                        self.model.keys.keys().filter(|(at, key)| *at == place && key.starts_with(prefix));
                    Said::Values(
                        live.filter(|(_, key)| self.model.key(place, key).is_some())
                            .map(|(_, key)| value!(key))
                            .collect(),
                    )
                }
            })
        });
        let engine = match self.stage.ask(principal(who), Request::Kv(space, call.clone())).await {
            Err(error) => Said::Error(error.code),
            Ok(Response::Value(entry)) => Said::Values(
                entry
                    .map(|e| {
                        value!([String::from_utf8(e.value).expect("text"), e.version, e.expires_unix_ms])
                    })
                    .into_iter()
                    .collect(),
            ),
            Ok(Response::Deleted(there)) => Said::Flag(there),
            Ok(Response::Version(version)) => Said::Number(version),
            Ok(Response::Keys { keys, .. }) => Said::Values(keys.iter().map(|key| value!(key.key)).collect()),
            other => panic!("{other:?}"),
        };
        self.agree(&(space, call), who, model.unwrap_or_else(Said::Error), engine);
    }

    async fn spaces(&mut self) {
        let who = self.rng.random_range(0..PEOPLE + 2);
        let role = [Role::Reader, Role::Writer, Role::Manager][self.rng.random_range(0..3)];
        let whom = self.rng.random_range(1..=PEOPLE);
        let room = (!self.model.rooms.is_empty()).then(|| self.rng.random_range(0..self.model.rooms.len()));
        let space = room.map_or(SpaceId::new(3, 3), |room| self.model.rooms[room].id);
        let call = match self.rng.random_range(0..10) {
            0 if self.model.rooms.len() < 6 => {
                SpaceCall::Create { name: format!("room {}", self.model.rooms.len()) }
            }
            0 | 1 => SpaceCall::List,
            2 => SpaceCall::Members { space },
            3..6 => SpaceCall::Add { space, user: None, role },
            6 => SpaceCall::Add { space, user: Some(user(whom)), role },
            7 => SpaceCall::Remove { space, user: user(whom) },
            _ => {
                let codes = self.model.invites.len();
                let code = if codes == 0 {
                    "inv_x".into()
                } else {
                    self.model.invites[self.rng.random_range(0..codes)].0.clone()
                };
                SpaceCall::Join { code }
            }
        };
        let said = self.stage.ask(principal(who), Request::Spaces(call.clone())).await;
        let engine = match &said {
            Err(error) => Said::Error(error.code),
            Ok(Response::Space(info)) => Said::Values(vec![value!([info.name, info.role.name()])]),
            Ok(Response::Spaces(list)) => {
                Said::Values(list.iter().map(|s| value!([s.name, s.role.name()])).collect())
            }
            Ok(Response::Members(list)) => {
                Said::Values(list.iter().map(|(u, r)| value!([u.to_string(), r.name()])).collect())
            }
            Ok(Response::Invite(_) | Response::Done) => Said::Flag(true),
            other => panic!("{other:?}"),
        };
        let model = self.model_spaces(who, room, &call, &said).unwrap_or_else(Said::Error);
        self.agree(&call, who, model, engine);
    }

    fn model_spaces(
        &mut self,
        who: u128,
        room: Option<usize>,
        call: &SpaceCall,
        said: &Result<Response, DataError>,
    ) -> Result<Said, ErrorCode> {
        let model = &mut self.model;
        match who {
            0 => return Err(ErrorCode::SignInRequired),
            who if who > PEOPLE => return Err(ErrorCode::PermissionDenied),
            _ => {}
        }
        let mine = |model: &Model| {
            room.and_then(|room| model.rooms[room].members.get(&who).copied()).ok_or(ErrorCode::NotFound)
        };
        let managers = |model: &Model, room: usize| {
            model.rooms[room].members.values().filter(|r| **r == Role::Manager).count()
        };
        match call {
            SpaceCall::Create { name } => {
                let Ok(Response::Space(info)) = said else { return Ok(Said::Flag(false)) };
                model.rooms.push(Room {
                    id: info.id,
                    name: name.clone(),
                    members: BTreeMap::from([(who, Role::Manager)]),
                });
                Ok(Said::Values(vec![value!([name, "manager"])]))
            }
            SpaceCall::List => {
                let mut rooms: Vec<&Room> =
                    model.rooms.iter().filter(|room| room.members.contains_key(&who)).collect();
                rooms.sort_by_key(|room| room.id);
                Ok(Said::Values(
                    rooms.iter().map(|room| value!([room.name, room.members[&who].name()])).collect(),
                ))
            }
            SpaceCall::Members { .. } => {
                mine(model)?;
                let members = &model.rooms[room.expect("known")].members;
                Ok(Said::Values(
                    members.iter().map(|(who, role)| value!([user(*who).to_string(), role.name()])).collect(),
                ))
            }
            SpaceCall::Add { user: whom, role, .. } => {
                if mine(model)? != Role::Manager {
                    return Err(ErrorCode::PermissionDenied);
                }
                let room = room.expect("known");
                let Some(whom) = whom else {
                    if let Ok(Response::Invite(code)) = said {
                        model.invites.push((code.clone(), room, *role));
                    }
                    return Ok(Said::Flag(true));
                };
                let whom = (1..=PEOPLE).find(|n| user(*n) == *whom).expect("known");
                let before = *model.rooms[room].members.get(&whom).ok_or(ErrorCode::NotFound)?;
                if before == Role::Manager && *role != Role::Manager && managers(model, room) == 1 {
                    return Err(ErrorCode::Conflict);
                }
                model.rooms[room].members.insert(whom, *role);
                Ok(Said::Flag(true))
            }
            SpaceCall::Remove { user: whom, .. } => {
                let whom = (1..=PEOPLE).find(|n| user(*n) == *whom).expect("known");
                let role = mine(model)?;
                if whom != who && role != Role::Manager {
                    return Err(ErrorCode::PermissionDenied);
                }
                let room = room.expect("known");
                let before = *model.rooms[room].members.get(&whom).ok_or(ErrorCode::NotFound)?;
                if before == Role::Manager && managers(model, room) == 1 {
                    return Err(ErrorCode::Conflict);
                }
                model.rooms[room].members.remove(&whom);
                Ok(Said::Flag(true))
            }
            SpaceCall::Join { code } => {
                let at = model
                    .invites
                    .iter()
                    .position(|(known, _, _)| known == code)
                    .ok_or(ErrorCode::NotFound)?;
                let (_, room, role) = model.invites.remove(at);
                let room = &mut model.rooms[room];
                let before = room.members.get(&who).copied();
                let role = before.map_or(role, |before| before.max(role));
                room.members.insert(who, role);
                Ok(Said::Values(vec![value!([room.name, role.name()])]))
            }
        }
    }
}

/// Calls of one run; `FAZT_OPS` asks for more.
fn ops() -> usize {
    std::env::var("FAZT_OPS").ok().and_then(|ops| ops.parse().ok()).unwrap_or(4_000)
}

#[tokio::test]
async fn engine_and_model_agree_on_every_answer() {
    let rng = StdRng::seed_from_u64(seed());
    let model = Model { now: START_MS, ..Model::default() };
    let mut run = Run { stage: Stage::new(&plain()), model, rng };
    for op in 0..ops() {
        run.step().await;
        if op % 1_000 == 500 {
            // What is open is opened anew: nothing of it lives in memory only.
            run.stage.data.close(run.stage.app);
        }
    }
    let (docs, rooms) = (run.model.docs.len(), run.model.rooms.len());
    assert!(docs > 20 && rooms > 1, "the run did something: {docs} documents, {rooms} rooms");
}
