//! Numbers in the query of an address.

use crate::web::{Error, Query};
use std::ops::RangeInclusive;

/// Fails if the parameter is present and is not a whole number in the range.
pub fn in_range(query: &Query, name: &str, range: RangeInclusive<i64>) -> Result<(), Error> {
    let is_good = |text: &String| text.parse().is_ok_and(|number| range.contains(&number));
    match query.get(name).is_none_or(is_good) {
        true => Ok(()),
        false => Err(Error::BadRequest(
            format!("`{name}` is a number from {} to {}", range.start(), range.end()).into(),
        )),
    }
}
