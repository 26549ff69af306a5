//! Request bodies as JSON, with a bounded length.

use crate::protocol::has_nul;
use crate::web::Error;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use warp::{Filter, Rejection};

const NUL: &str = "the body has a NUL character (\\u0000); no text may have one";

/// Reads the request body as JSON. Rejects a body that has more than `most` bytes or a NUL character, or that is not a
/// `T`.
pub fn json<T: DeserializeOwned + Send>(most: u64) -> impl Filter<Extract = (T,), Error = Rejection> + Copy {
    bytes(most).and_then(|body: Bytes| async move {
        if has_nul(&body) {
            return Err(refused(Error::BadRequest(NUL.into())));
        }
        read(&body).map_err(refused)
    })
}

/// Does the same as [`json`] for a JSON object. Without this check, serde would accept a list as the fields of a type
/// in their order.
pub fn object<T: DeserializeOwned + Send>(most: u64) -> impl Filter<Extract = (T,), Error = Rejection> + Copy {
    bytes(most).and_then(|body: Bytes| async move {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(refused(Error::BadRequest("the body is no JSON object: {..}".into())));
        }
        if has_nul(&body) {
            return Err(refused(Error::Unprocessable(NUL.into())));
        }
        read(&body).map_err(refused)
    })
}

fn bytes(most: u64) -> impl Filter<Extract = (Bytes,), Error = Rejection> + Copy {
    warp::body::content_length_limit(most).and(warp::body::bytes())
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::BadRequest(format!("the body can't be read: {error}").into()))
}

fn refused(error: Error) -> Rejection {
    warp::reject::custom(error)
}
