//! Bodies of requests: JSON, read only up to a length.

use crate::protocol::has_nul;
use crate::web::Error;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use warp::{Filter, Rejection};

/// The body of a request as JSON, read only if it is at most `most` bytes long.
pub fn json<T: DeserializeOwned + Send>(most: u64) -> impl Filter<Extract = (T,), Error = Rejection> + Copy {
    warp::body::content_length_limit(most)
        .and(warp::body::bytes())
        .and_then(|body: Bytes| async move {
            let refuse = |reason: String| warp::reject::custom(Error::BadRequest(reason.into()));
            if has_nul(&body) {
                return Err(refuse(
                    "the body has a NUL character (\\u0000); no text may have one".to_owned(),
                ));
            }
            serde_json::from_slice(&body).map_err(|error| refuse(format!("the body can't be read: {error}")))
        })
}
