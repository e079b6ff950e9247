//! Pure: a JSON value read as text, for fields whose type differs from service to service.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Text, or a number as text; anything else is passed over and counts as empty.
#[derive(Default)]
pub(crate) struct Lenient(pub(crate) String);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Lenient;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Lenient, E> {
                Ok(Lenient(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Lenient, E> {
                Ok(Lenient(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Lenient, E> {
                Ok(Lenient(number.to_string()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Lenient, E> {
                Ok(Lenient(String::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Lenient, E> {
                Ok(Lenient(String::new()))
            }
            fn visit_unit<E>(self) -> Result<Lenient, E> {
                Ok(Lenient(String::new()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Lenient, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Lenient(String::new()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lenient, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Lenient(String::new()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_kept_and_the_rest_is_empty() {
        for (json, want) in [
            ("\"a\"", "a"),
            ("3599", "3599"),
            ("-1", "-1"),
            ("1.5", ""),
            ("null", ""),
            ("true", ""),
            ("[1,[2]]", ""),
            ("{\"a\":{}}", ""),
        ] {
            let got: Lenient = serde_json::from_str(json).unwrap();
            assert_eq!(got.0, want, "{json}");
        }
    }
}
