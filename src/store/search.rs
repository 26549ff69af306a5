//! Finds revisions and incidents by words.

use super::revisions::{COLUMNS as REVISION, Revision};
use super::{Store, Tx};
use crate::domain::text::name_of;
use crate::domain::words::words;
use crate::verdict::Subject;
use anyhow::Result;
use std::collections::BTreeSet;

/// How many rows become searchable in one transaction.
const BATCH: i64 = 200;

/// A search looks at the newest of so many items with the longest word of the query, and at so many with a longer word
/// that begins with it. It keeps those that have the other words too.
const WITH_WORD: i64 = 2_000;
const WITH_LONGER: i64 = 500;

/// The most words that are stored for one regression. It may have thousands of tests.
const WORDS_STORED_MOST: usize = 5_000;

/// Added to a word, this sorts after every ASCII word that begins with it, both in byte order and in the order of a
/// language.
const AFTER_ALL: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

/// The most words of a query that count.
const WORDS_MOST: usize = 8;

/// What a search finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Revision,
    Incident,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Revision => "revision",
            Kind::Incident => "incident",
        }
    }
}

impl Store {
    /// Makes some new revisions and regressions searchable. Returns how many, or 0 if all are.
    pub async fn index_words(&self) -> Result<usize> {
        let revisions: Vec<(String, String, String, Option<String>)> = sqlx::query_as(
            "SELECT id, subject, author, label FROM revision WHERE searchable IS NULL ORDER BY id LIMIT $1",
        )
        .bind(BATCH)
        .fetch_all(self.pool())
        .await?;
        let regressions: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT id, incident_id, project, subjects FROM regression WHERE searchable IS NULL ORDER BY id LIMIT $1",
        )
        .bind(BATCH)
        .fetch_all(self.pool())
        .await?;
        let indexed = revisions.len() + regressions.len();
        if indexed == 0 {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        for (id, subject, author, label) in revisions {
            // the address of the author is not for everybody
            let name = name_of(&author);
            let texts = [label.as_deref().unwrap_or_default(), name, &subject];
            self.add_words(&mut tx, Kind::Revision, &id, texts).await?;
            let mark = sqlx::query("UPDATE revision SET searchable = 1 WHERE id = $1");
            mark.bind(&id).execute(&mut *tx).await?;
        }
        for (id, incident, project, subjects) in regressions {
            // subjects that can't be read are left out: only the search lacks them
            let subjects: Vec<Subject> = serde_json::from_str(&subjects).unwrap_or_default();
            let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
            let texts = std::iter::once(&project).chain(&subjects).map(String::as_str);
            self.add_words(&mut tx, Kind::Incident, &incident, texts).await?;
            let mark = sqlx::query("UPDATE regression SET searchable = 1 WHERE id = $1");
            mark.bind(&id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(indexed)
    }

    async fn add_words(
        &self,
        tx: &mut Tx,
        kind: Kind,
        subject: &str,
        texts: impl IntoIterator<Item = &str>,
    ) -> Result<()> {
        let mut kept = BTreeSet::new();
        for word in texts.into_iter().flat_map(words) {
            if kept.len() < WORDS_STORED_MOST {
                kept.insert(word);
            }
        }
        let words = kept;
        if words.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = (3..words.len() + 3)
            .map(|number| format!("($1, ${number}, $2)"))
            .collect();
        let sql = format!(
            "INSERT INTO search_word (kind, word, subject) VALUES {} ON CONFLICT DO NOTHING",
            rows.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(kind.name()).bind(subject);
        for word in words {
            query = query.bind(word);
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// Returns revisions on their branches that have all the words, the newest first and at most `most`. A word of the
    /// query also stands for longer words that begin with it.
    pub async fn find_revisions(&self, query: &str, most: i64) -> Result<Vec<Revision>> {
        let Some((condition, texts)) = words_of_revision(query, 1) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {REVISION} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE {condition} AND revision.left_at IS NULL ORDER BY revision.listed_at DESC, revision.id DESC LIMIT {most}"
        );
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for text in texts {
            query = query.bind(text);
        }
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Returns the numbers of incidents whose projects and tests have all the words, as [`Store::find_revisions`] does.
    pub async fn find_incidents(&self, query: &str, most: i64) -> Result<Vec<i64>> {
        let Some((condition, texts)) = condition(Kind::Incident, "incident.id", query, 1) else {
            return Ok(Vec::new());
        };
        let sql = format!("SELECT number FROM incident WHERE {condition} ORDER BY number DESC LIMIT {most}");
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        for text in texts {
            query = query.bind(text);
        }
        Ok(query.fetch_all(self.pool()).await?)
    }
}

/// Returns the condition that a row of `revision` has all the words of a query, and its parameters, of which the first has
/// the number `first`. Only the [`WITH_WORD`] newest revisions with the longest word fulfil it. Returns `None` if the query has
/// no words.
pub(super) fn words_of_revision(query: &str, first: usize) -> Option<(String, Vec<String>)> {
    condition(Kind::Revision, "revision.id", query, first)
}

/// Returns the condition that the item with this id has all the words of a query, and its parameters, from the number
/// `first` on. Returns `None` if the query has no words.
fn condition(kind: Kind, id: &str, query: &str, first: usize) -> Option<(String, Vec<String>)> {
    let mut words = words(query);
    words.truncate(WORDS_MOST);
    // a long word is rare more often than a short one
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let rarest = words.first()?.clone();
    let kind = kind.name();
    let mut texts = vec![rarest.clone(), longer(&rarest)];
    let mut condition = format!(
        "{id} IN (
             SELECT subject FROM (SELECT subject FROM search_word WHERE kind = '{kind}' AND word = ${first}
                                  ORDER BY subject DESC LIMIT {WITH_WORD}) AS with_word
             UNION SELECT subject FROM (SELECT subject FROM search_word WHERE kind = '{kind}' AND word > ${first} AND word <= ${}
                                        ORDER BY word, subject LIMIT {WITH_LONGER}) AS with_longer)",
        first + 1
    );
    for word in words.into_iter().skip(1) {
        let at = texts.len() + first;
        condition += &format!(
            " AND EXISTS (SELECT 1 FROM search_word AS other WHERE other.subject = {id}
                              AND other.word >= ${at} AND other.word <= ${})",
            at + 1
        );
        texts.extend([word.clone(), longer(&word)]);
    }
    Some((condition, texts))
}

/// Returns the upper end of the words that begin with a word. Only words in ASCII stand for longer ones.
fn longer(word: &str) -> String {
    match word.is_ascii() {
        true => format!("{word}{AFTER_ALL}"),
        false => word.to_owned(),
    }
}
