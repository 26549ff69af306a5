//! Watches whether the database answers. A server asks this module instead of waiting with each request.

use super::Store;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection};
use std::time::Duration;
use tokio::sync::watch;

/// The time between two questions to the database.
const PACE: Duration = Duration::from_millis(400);
/// How long a database has to answer a question.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of questions in a row without an answer after which the database counts as away. A single slow second is
/// not enough.
const UNANSWERED_MOST: u32 = 2;

/// The present answer to whether the database answers.
#[derive(Clone, Debug, Default)]
pub struct Presence(Option<watch::Receiver<bool>>);

impl Presence {
    /// Waits until the database does not answer.
    pub async fn away(&self) {
        if let Some(mut is_there) = self.0.clone()
            && is_there.wait_for(|is_there| !is_there).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Returns whether the database does not answer now or at the next questions.
    pub async fn is_away_soon(&self) -> bool {
        self.0.is_some()
            && tokio::time::timeout((PACE + PATIENCE) * UNANSWERED_MOST, self.away())
                .await
                .is_ok()
    }
}

impl Store {
    /// Watches whether the database answers, as long as anybody holds the result. SQLite is a file, which is always
    /// there.
    pub fn presence(&self) -> Presence {
        if self.writer.is_some() {
            return Presence::default();
        }
        let (sender, receiver) = watch::channel(true);
        let options = self.pool.connect_options();
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = look(&options, &sender) => {}
            }
        });
        Presence(Some(receiver))
    }
}

/// Asks again and again. It uses a connection of its own, because all connections of the pool may be busy.
async fn look(options: &AnyConnectOptions, sender: &watch::Sender<bool>) {
    let mut connection = None;
    let mut unanswered = 0;
    loop {
        let asked = tokio::time::timeout(PATIENCE, ask(options, &mut connection)).await;
        if !matches!(asked, Ok(Ok(()))) {
            connection = None;
        }
        let asked = asked.ok().map(|asked| asked.is_ok());
        let Some(answers) = answers(asked, &mut unanswered) else {
            continue;
        };
        if sender.send_if_modified(|old| std::mem::replace(old, answers) != answers) {
            match answers {
                true => tracing::info!("the database answers again"),
                false => {
                    tracing::error!("the database does not answer; check that it runs, and the setting `database`")
                }
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Decides from an answer whether the database is there. An error means that it is away. A missing answer means so only
/// after several questions. Returns `None` if it is not decided yet. `unanswered` counts the questions in a row without
/// an answer.
fn answers(asked: Option<bool>, unanswered: &mut u32) -> Option<bool> {
    *unanswered = if asked.is_none() { *unanswered + 1 } else { 0 };
    match asked {
        None if *unanswered < UNANSWERED_MOST => None,
        asked => Some(asked.unwrap_or(false)),
    }
}

/// Asks over the existing connection, or over a new one.
async fn ask(options: &AnyConnectOptions, connection: &mut Option<AnyConnection>) -> sqlx::Result<()> {
    // taken out, so that a broken or half used connection does not stay
    if let Some(mut old) = connection.take()
        && old.ping().await.is_ok()
    {
        *connection = Some(old);
        return Ok(());
    }
    let mut new = match options.connect().await {
        // if the pool has all connections that the server grants, the server has answered
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53300") => return Ok(()),
        connected => connected?,
    };
    new.ping().await?;
    *connection = Some(new);
    Ok(())
}

/// Returns whether an error means that the database is away, rather than that the request was wrong.
pub fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut) => true,
        // 57P: the server is shut down or starts; 08: the connection broke; 53: it has too few resources
        Some(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            ["57P", "08", "53"].iter().any(|class| code.starts_with(class)) && code.len() == 5
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_second_is_no_absence() {
        let mut unanswered = 0;
        let mut seen = |asked| answers(asked, &mut unanswered);
        assert_eq!(seen(Some(true)), Some(true));
        // slow once
        assert_eq!(seen(None), None);
        assert_eq!(seen(Some(true)), Some(true));
        // slow again and again
        assert_eq!([seen(None), seen(None), seen(None)], [None, Some(false), Some(false)]);
        assert_eq!(seen(Some(true)), Some(true));
        // refused
        assert_eq!(seen(Some(false)), Some(false));
    }
}
