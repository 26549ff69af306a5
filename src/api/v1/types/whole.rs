//! Whole numbers in JSON.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads a whole number, which JSON may also write as `9.0`.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let of_float = || {
        number
            .as_f64()
            .filter(|float| float.fract() == 0.0 && float.abs() < 9e15)
    };
    let whole = number.as_i64().or_else(|| of_float().map(|float| float as i64));
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is no whole number")))
}
