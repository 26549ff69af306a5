//! Prints a log from a coordinator on another machine: `/api/logs/ID`.

use super::print::Printer;
use crate::cli::server::token_for;
use crate::domain::address::Address;
use crate::domain::causes::causes;
use crate::domain::text::plain;
use crate::logfile::Stream;
use anyhow::{Context, Result, bail};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use base64::Engine;
use futures_util::StreamExt;
use serde::Deserialize;
use std::time::Duration;

/// Returns the waiting times before retries when the connection breaks: half a second, doubled up to 8 s. A random time
/// of up to the same length is added, so that the readers of a coordinator that comes back do not all call at the same
/// moment.
fn retry_delays(follow: bool) -> ExponentialBackoff {
    let delays = ExponentialBuilder::new().with_min_delay(Duration::from_millis(500));
    let delays = delays.with_max_delay(Duration::from_secs(8)).with_jitter();
    match follow {
        true => delays.without_max_times().build(),
        false => delays.with_max_times(RETRIES_MOST).build(),
    }
}

/// How often a log that is not followed is requested again without getting any further.
const RETRIES_MOST: usize = 5;

const UNREADABLE: &str = "the coordinator sent a line that can't be read";

/// The log to print, and the options.
pub struct LogRequest<'a> {
    /// Id of a run, an image or an attempt.
    pub id: &'a str,
    pub attempt: Option<usize>,
    pub stream: Option<Stream>,
    /// Whether to wait for more until the attempt has ended.
    pub follow: bool,
    /// Whether to print bytes that are not UTF-8 unchanged.
    pub raw: bool,
}

/// One line of the response.
#[derive(Deserialize)]
struct Line {
    until: u64,
    stream: String,
    at: i64,
    text: String,
    /// A sentence that says which bytes are lost.
    lost: Option<String>,
    /// Bytes that are not UTF-8, in base64.
    bytes: Option<String>,
}

/// Prints a log. Reconnects when the connection breaks after the first response, and goes on where it broke. Without
/// `follow`, fails after [`RETRIES_MOST`] tries that bring nothing more.
pub async fn print(server: &str, request: &LogRequest<'_>, printer: &mut Printer) -> Result<()> {
    let shown = Address::new(server);
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .build()?;
    let url = format!("{}/api/logs/{}", server.trim_end_matches('/'), request.id);
    let mut from = 0;
    let mut began = false;
    let mut delays = retry_delays(request.follow);
    loop {
        let mut query = vec![("from", from.to_string()), ("follow", request.follow.to_string())];
        query.extend(request.raw.then(|| ("raw", true.to_string())));
        query.extend(request.attempt.map(|n| ("attempt", n.to_string())));
        query.extend(request.stream.map(|stream| ("stream", stream.name().to_owned())));
        let mut get = http.get(&url).query(&query);
        if let Some(token) = token_for(server)? {
            get = get.bearer_auth(token);
        }
        let response = match get.send().await {
            Ok(response) => response,
            // the coordinator may be restarting
            Err(error) if began && !error.is_builder() => {
                pause(&mut delays, &shown).await?;
                continue;
            }
            Err(error) => {
                let causes = causes(&error.without_url());
                bail!("the coordinator does not answer at {shown}: {causes}; check that it runs, and `--server`")
            }
        };
        match response.status() {
            status if status.is_success() => began = true,
            reqwest::StatusCode::NOT_FOUND => bail!("there is no log of {:?} at {shown}", request.id),
            status if status.is_server_error() && began => {
                pause(&mut delays, &shown).await?;
                continue;
            }
            status => bail!("{shown} answered {status}: {}", reason(response).await),
        }
        let before = from;
        // half a log looks like a whole one, so those who do not follow get the rest too
        if read(response, &mut from, printer).await? || printer.is_closed() {
            return Ok(());
        }
        if from > before {
            delays = retry_delays(request.follow);
        }
        pause(&mut delays, &shown).await?;
    }
}

/// Waits before the next try. Fails if there were enough.
async fn pause(delays: &mut ExponentialBackoff, shown: &Address) -> Result<()> {
    match delays.next() {
        Some(delay) => tokio::time::sleep(delay).await,
        None => bail!("the connection to {shown} broke off {RETRIES_MOST} times, so the end of the log is missing"),
    }
    Ok(())
}

/// Returns the reason of the coordinator's refusal.
async fn reason(response: reqwest::Response) -> String {
    #[derive(Deserialize)]
    struct RefusalBody {
        error: String,
    }
    let text = response.text().await.unwrap_or_default();
    plain(&serde_json::from_str(&text).map_or(text, |refusal: RefusalBody| refusal.error))
}

/// Prints a response, and advances `from`. Returns `false` if the connection broke before its end.
async fn read(response: reqwest::Response, from: &mut u64, printer: &mut Printer) -> Result<bool> {
    let mut parts = response.bytes_stream();
    let mut begun = Vec::new();
    while let Some(part) = parts.next().await {
        let Ok(part) = part else { return Ok(false) };
        begun.extend_from_slice(&part);
        let Some(end) = begun.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let rest = begun.split_off(end + 1);
        for line in std::mem::replace(&mut begun, rest).split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line).context(UNREADABLE)?;
            let stream: Stream = line.stream.parse().map_err(anyhow::Error::msg)?;
            match (line.lost, line.bytes) {
                (Some(lost), _) => printer.lost(&lost).await?,
                (None, Some(bytes)) => {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(bytes);
                    printer.print(stream, line.at, &bytes.context(UNREADABLE)?).await?;
                }
                (None, None) => printer.print(stream, line.at, line.text.as_bytes()).await?,
            }
            *from = line.until;
        }
        printer.flush().await?;
        if printer.is_closed() {
            return Ok(true);
        }
    }
    Ok(true)
}
