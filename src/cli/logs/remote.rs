//! A log from a coordinator elsewhere: `/api/logs/ID`.

use super::{Logs, Printer};
use crate::logfile::Stream;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde::Deserialize;
use std::time::Duration;

/// Time before another try when the connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    until: u64,
    stream: String,
    at: i64,
    text: String,
}

pub async fn print(server: &str, asked: &Logs, printer: &mut Printer) -> Result<()> {
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .build()?;
    let url = format!("{}/api/logs/{}", server.trim_end_matches('/'), asked.id);
    let mut from = 0;
    let mut began = false;
    loop {
        let mut query = vec![("from", from.to_string()), ("follow", asked.follow.to_string())];
        query.extend(asked.attempt.map(|n| ("attempt", n.to_string())));
        query.extend(asked.stream.map(|stream| ("stream", stream.name().to_owned())));
        let answer = match http.get(&url).query(&query).send().await {
            Ok(answer) => answer,
            // who has begun to follow waits until the coordinator is back
            Err(error) if began && !error.is_builder() => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("failed to reach {server}")),
        };
        match answer.status() {
            status if status.is_success() => began = true,
            reqwest::StatusCode::NOT_FOUND => bail!("there is no log of {:?} at {server}", asked.id),
            status if status.is_server_error() && began => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            reqwest::StatusCode::SERVICE_UNAVAILABLE => bail!("{server} has too many readers of logs; try again later"),
            status => bail!("{server} answered {status}"),
        }
        if read(answer, &mut from, printer).await? || printer.is_closed() || !asked.follow {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Prints what comes; whether it came to its end.
async fn read(answer: reqwest::Response, from: &mut u64, printer: &mut Printer) -> Result<bool> {
    let mut parts = answer.bytes_stream();
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
            let line: Line = serde_json::from_slice(line).context("the coordinator sent a line that can't be read")?;
            let stream: Stream = line.stream.parse().map_err(anyhow::Error::msg)?;
            printer.print(stream, line.at, line.text.as_bytes()).await?;
            *from = line.until;
        }
        printer.flush().await?;
        if printer.is_closed() {
            return Ok(true);
        }
    }
    Ok(true)
}
