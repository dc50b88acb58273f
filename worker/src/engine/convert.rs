//! Values between JavaScript and the contract's types, driven by the types themselves: arguments of a system
//! call become a `Call`, a `Reply` becomes an object. A new row of the table needs nothing here.
//!
//! The values are the app's. Depth is bounded by the types, which hold no recursion.

use rquickjs::{Array, ArrayBuffer, Ctx, Object, String as JsString, Value};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::ser::{self, Serialize};

use crate::sys;

/// Why a value does not fit, for the app's author.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConvertError(String);

impl de::Error for ConvertError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl ser::Error for ConvertError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<rquickjs::Error> for ConvertError {
    fn from(error: rquickjs::Error) -> Self {
        Self(error.to_string())
    }
}

type Result<T> = std::result::Result<T, ConvertError>;

/// Reads variant `number` of an enum such as `Call` from its fields in order.
pub(crate) fn read_variant<'js, T: de::DeserializeOwned>(number: u32, fields: &Array<'js>) -> Result<T> {
    T::deserialize(Variant { number, fields })
}

struct Variant<'a, 'js> {
    number: u32,
    fields: &'a Array<'js>,
}

impl<'de> de::Deserializer<'de> for Variant<'_, '_> {
    type Error = ConvertError;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(de::Error::custom("not a call"))
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, '_> {
    type Error = ConvertError;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let number: de::value::U32Deserializer<ConvertError> = self.number.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, '_> {
    type Error = ConvertError;
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(Reader { value: self.fields.get(0)? })
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Items { array: self.fields, next: 0, length: self.fields.len() })
    }
    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value> {
        // Missing arguments read as `undefined`, which is what an optional one wants.
        visitor.visit_seq(Items { array: self.fields, next: 0, length: names.len() })
    }
}

struct Items<'a, 'js> {
    array: &'a Array<'js>,
    next: usize,
    length: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = ConvertError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.next == self.length {
            return Ok(None);
        }
        let value = self.array.get(self.next)?;
        self.next += 1;
        seed.deserialize(Reader { value })
            .map(Some)
            .map_err(|error| ConvertError(format!("{error} (at {})", self.next)))
    }
}

/// One value.
struct Reader<'js> {
    value: Value<'js>,
}

impl Reader<'_> {
    fn text(&self) -> Result<String> {
        match self.value.as_string() {
            Some(text) => Ok(text.to_string()?),
            None => Err(ConvertError(format!("expected a string, not {}", self.value.type_name()))),
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = ConvertError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(value) = self.value.as_bool() {
            return visitor.visit_bool(value);
        }
        if let Some(value) = self.value.as_int() {
            return if value < 0 { visitor.visit_i64(value.into()) } else { visitor.visit_u64(value as u64) };
        }
        if let Some(value) = self.value.as_float() {
            const SAFE: f64 = 9_007_199_254_740_992.0;
            if value.fract() == 0.0 && (0.0..SAFE).contains(&value) {
                return visitor.visit_u64(value as u64);
            }
            if value.fract() == 0.0 && (-SAFE..0.0).contains(&value) {
                return visitor.visit_i64(value as i64);
            }
            return visitor.visit_f64(value);
        }
        if self.value.is_undefined() || self.value.is_null() {
            return visitor.visit_unit();
        }
        if self.value.is_string() {
            return visitor.visit_string(self.text()?);
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.value.is_undefined() || self.value.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_string(visitor)
    }

    /// A list; bytes; or a string, as the bytes of its characters (a `ByteString`).
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(array) = self.value.as_array() {
            return visitor.visit_seq(Items { array, next: 0, length: array.len() });
        }
        let bytes = match self.value.is_string() {
            true => self.text()?.chars().map(|c| c as u32 as u8).collect(),
            false => sys::with_bytes(&self.value, <[u8]>::to_vec)
                .ok_or_else(|| ConvertError(format!("expected a list, not {}", self.value.type_name())))?,
        };
        visitor.visit_seq(de::value::SeqDeserializer::new(bytes.into_iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let object = self.value.as_object().ok_or_else(|| ConvertError("expected an object".into()))?;
        let values = Array::new(object.ctx().clone())?;
        for (at, name) in names.iter().enumerate() {
            values.set(at, object.get::<_, Value<'_>>(camel_case(name))?)?;
        }
        visitor.visit_seq(Items { array: &values, next: 0, length: names.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let text = self.text()?;
        let name = names.iter().find(|name| name.to_lowercase() == text);
        let name = name.ok_or_else(|| ConvertError(format!("\"{text}\" is not one of the choices")))?;
        visitor.visit_enum(IntoDeserializer::<ConvertError>::into_deserializer(*name))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct tuple_struct map
        identifier ignored_any
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at(part.len().min(1));
        out.push_str(&first.to_uppercase());
        out.push_str(rest);
    }
    out
}

/// Writes a value of the contract as JavaScript: structs as objects with names in camelCase, variants without
/// fields as text in lower case, bytes as an `ArrayBuffer`, other variants as what they hold.
pub(crate) fn write<'js, T: Serialize>(ctx: &Ctx<'js>, value: &T) -> Result<Value<'js>> {
    value.serialize(Writer(ctx))
}

struct Writer<'a, 'js>(&'a Ctx<'js>);

/// A list or a struct in the making.
struct Building<'a, 'js> {
    ctx: &'a Ctx<'js>,
    object: Object<'js>,
    next: u32,
}

impl<'a, 'js> Writer<'a, 'js> {
    fn list(self) -> Result<Building<'a, 'js>> {
        Ok(Building { ctx: self.0, object: Array::new(self.0.clone())?.into_object(), next: 0 })
    }

    fn number(self, value: f64) -> Value<'js> {
        Value::new_number(self.0.clone(), value)
    }
}

macro_rules! numbers {
    ($($method:ident $type:ty,)*) => {$(
        fn $method(self, value: $type) -> Result<Value<'js>> {
            Ok(self.number(value as f64))
        }
    )*};
}

impl<'a, 'js> ser::Serializer for Writer<'a, 'js> {
    type Ok = Value<'js>;
    type Error = ConvertError;
    type SerializeSeq = Building<'a, 'js>;
    type SerializeTuple = Building<'a, 'js>;
    type SerializeTupleStruct = Building<'a, 'js>;
    type SerializeTupleVariant = Building<'a, 'js>;
    type SerializeMap = ser::Impossible<Value<'js>, ConvertError>;
    type SerializeStruct = Building<'a, 'js>;
    type SerializeStructVariant = Building<'a, 'js>;

    numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_f32 f32, serialize_f64 f64,
    }

    fn serialize_bool(self, value: bool) -> Result<Value<'js>> {
        Ok(Value::new_bool(self.0.clone(), value))
    }
    fn serialize_char(self, value: char) -> Result<Value<'js>> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<Value<'js>> {
        Ok(JsString::from_str(self.0.clone(), value)?.into_value())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<Value<'js>> {
        Ok(ArrayBuffer::new_copy(self.0.clone(), value)?.into_value())
    }
    fn serialize_none(self) -> Result<Value<'js>> {
        Ok(Value::new_null(self.0.clone()))
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value<'js>> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value<'js>> {
        Ok(Value::new_undefined(self.0.clone()))
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value<'js>> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<Value<'js>> {
        self.serialize_str(&name.to_lowercase())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value<'js>> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Value<'js>> {
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Building<'a, 'js>> {
        self.list()
    }
    fn serialize_tuple(self, _: usize) -> Result<Building<'a, 'js>> {
        self.list()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Building<'a, 'js>> {
        self.list()
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Building<'a, 'js>> {
        self.list()
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
        Err(ser::Error::custom("maps do not occur in the contract"))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Building<'a, 'js>> {
        Ok(Building { ctx: self.0, object: Object::new(self.0.clone())?, next: 0 })
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        fields: usize,
    ) -> Result<Building<'a, 'js>> {
        self.serialize_struct(name, fields)
    }
}

impl<'js> Building<'_, 'js> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let value = value.serialize(Writer(self.ctx))?;
        self.object.set(self.next, value)?;
        self.next += 1;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        let value = value.serialize(Writer(self.ctx))?;
        Ok(self.object.set(camel_case(name), value)?)
    }

    fn done(self) -> Value<'js> {
        self.object.into_value()
    }
}

macro_rules! building {
    ($($part:ident $method:ident,)*) => {$(
        impl<'js> ser::$part for Building<'_, 'js> {
            type Ok = Value<'js>;
            type Error = ConvertError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.push(value)
            }
            fn end(self) -> Result<Value<'js>> {
                Ok(self.done())
            }
        }
    )*};
}

building! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! building_named {
    ($($part:ident,)*) => {$(
        impl<'js> ser::$part for Building<'_, 'js> {
            type Ok = Value<'js>;
            type Error = ConvertError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.field(name, value)
            }
            fn end(self) -> Result<Value<'js>> {
                Ok(self.done())
            }
        }
    )*};
}

building_named! {
    SerializeStruct,
    SerializeStructVariant,
}
