//! Whether the database answers. A server asks for this instead of waiting with each request.

use super::Store;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection};
use std::time::Duration;
use tokio::sync::watch;

/// The time between two questions to the database.
const PACE: Duration = Duration::from_millis(400);
/// How long a database has to answer a question.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many questions in a row without an answer mean that the database is away: a single slow second does not.
const UNANSWERED_MOST: u32 = 2;

/// Whether the database answers, as it changes.
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

    /// Whether the database does not answer now, or when it is asked next.
    pub async fn is_away_soon(&self) -> bool {
        self.0.is_some()
            && tokio::time::timeout((PACE + PATIENCE) * UNANSWERED_MOST, self.away())
                .await
                .is_ok()
    }
}

impl Store {
    /// Watches whether the database answers, as long as anybody wants to know. SQLite, a file, is always there.
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

/// Asks again and again, over a connection of its own: those of the pool may all be busy.
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

/// Whether the database is there, from its answer: an error means that it is away, and no answer in time only after several
/// questions. Returns `None` if that is not decided yet. `unanswered` counts the questions in a row without an answer.
fn answers(asked: Option<bool>, unanswered: &mut u32) -> Option<bool> {
    *unanswered = if asked.is_none() { *unanswered + 1 } else { 0 };
    match asked {
        None if *unanswered < UNANSWERED_MOST => None,
        asked => Some(asked.unwrap_or(false)),
    }
}

/// Asks over the connection that there is, or over a new one.
async fn ask(options: &AnyConnectOptions, connection: &mut Option<AnyConnection>) -> sqlx::Result<()> {
    // taken out, so that nothing remains of one that is broken or half used
    if let Some(mut old) = connection.take()
        && old.ping().await.is_ok()
    {
        *connection = Some(old);
        return Ok(());
    }
    let mut new = match options.connect().await {
        // the pool may have all connections that the server grants: then it answers
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53300") => return Ok(()),
        connected => connected?,
    };
    new.ping().await?;
    *connection = Some(new);
    Ok(())
}

/// Whether an error came of a database that is away, and not of what it was asked.
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
