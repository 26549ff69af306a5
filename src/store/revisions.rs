//! Revisions.

use super::events::EventKind;
use super::rows::{BadRow, from_row};
use super::{Store, Tx, new_id};
use crate::domain::id::{BranchId, RevisionId};
use crate::domain::svn::{SvnFolder, SvnRevision, number};
use crate::domain::time::Timestamp;
use anyhow::Result;
use std::collections::BTreeSet;

/// The most revisions of one move of a branch that get events: its newest ones.
const NEWS_MOST: usize = 100;

/// A revision as its repository describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// The id in git, in hex.
    pub sha: String,
    /// The id in git of its tree.
    pub tree: String,
    pub parent: Option<String>,
    pub author: String,
    pub subject: String,
    pub committed_at: Timestamp,
    /// The version in the tree's `Include/patchlevel.h`.
    pub version: Option<String>,
    /// The revision in Subversion, if the source is Subversion.
    pub svn: Option<SvnRevision>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub id: RevisionId,
    pub branch_id: BranchId,
    /// The name of the branch.
    pub branch: String,
    pub seq: i64,
    pub sha: String,
    pub tree: String,
    pub author: String,
    pub subject: String,
    pub committed_at: Timestamp,
    pub version: Option<String>,
    /// When a force-push took the revision off the branch.
    pub left_at: Option<Timestamp>,
    /// The name of a Subversion revision: `r45321`.
    pub label: Option<String>,
}

from_row!(
    Revision, "revision" by "id":
    id, branch_id, branch, seq, sha, tree, author, subject, committed_at, version, left_at, label,
);

impl<'a> From<&'a Revision> for crate::plan::Commit<'a> {
    fn from(revision: &'a Revision) -> Self {
        Self {
            sha: &revision.sha,
            branch: &revision.branch,
            version: revision.version.as_deref(),
            committed_at: revision.committed_at,
        }
    }
}

impl Revision {
    /// Creates a revision that is not in the store. Its ids are empty, and its `seq` is 0.
    pub fn of(branch: &str, revision: NewRevision) -> Self {
        Self {
            id: RevisionId::from(""),
            branch_id: BranchId::from(""),
            branch: branch.to_owned(),
            seq: 0,
            sha: revision.sha,
            tree: revision.tree,
            author: revision.author,
            subject: revision.subject,
            committed_at: revision.committed_at,
            version: revision.version,
            left_at: None,
            label: revision.svn.as_ref().map(SvnRevision::label),
        }
    }

    /// Returns the label if there is one, otherwise the id in git.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.sha)
    }
}

/// A revision of Subversion.
struct Labelled {
    id: RevisionId,
    label: String,
    sha: String,
}

from_row!(Labelled, "revision" by "id": id, label, sha);

impl Labelled {
    fn number(&self) -> Result<u64, BadRow> {
        number(&self.label).ok_or_else(|| BadRow {
            table: "revision",
            id: self.id.to_string(),
            column: "label".to_owned(),
            problem: format!("{:?} is not the name of a Subversion revision", self.label),
        })
    }
}

pub(super) const COLUMNS: &str = "revision.id, revision.branch_id, branch.name AS branch, revision.seq, revision.sha, \
     revision.tree, revision.author, revision.subject, revision.committed_at, revision.version, revision.left_at, \
     revision.label";

/// How a branch moves to a new head.
#[derive(Clone, Debug)]
pub struct BranchMove {
    /// The id in git of the newest revision after the move.
    pub head: String,
    /// The revisions that the branch gains, oldest first.
    pub new: Vec<NewRevision>,
    pub insert: Insert,
    /// The ids in git of revisions that leave the branch.
    pub left: Vec<String>,
}

impl BranchMove {
    /// Creates the move by which a branch goes on with these revisions, oldest first, up to `head`.
    pub fn onto(head: &str, new: &[NewRevision]) -> Self {
        Self {
            head: head.to_owned(),
            new: new.to_vec(),
            insert: Insert::AfterAll,
            left: Vec::new(),
        }
    }
}

/// Returns the `seq` of each revision that is stored, or that comes before a stored one, where the positions there are
/// free. The latter happens if a branch that was set back beyond its first stored revision goes forward again. Other
/// revisions have none yet.
async fn seqs_before_stored(tx: &mut Tx, branch_id: &BranchId, new: &[NewRevision]) -> Result<Vec<Option<i64>>> {
    let mut seqs = vec![None; new.len()];
    let mut next: Option<i64> = None;
    for (index, revision) in new.iter().enumerate().rev() {
        let stored: Option<i64> = sqlx::query_scalar("SELECT seq FROM revision WHERE branch_id = $1 AND sha = $2")
            .bind(branch_id)
            .bind(&revision.sha)
            .fetch_optional(&mut **tx)
            .await?;
        next = match (stored, next) {
            (Some(seq), _) => Some(seq),
            (None, Some(next)) => {
                let taken: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM revision WHERE branch_id = $1 AND seq = $2")
                    .bind(branch_id)
                    .bind(next - 1)
                    .fetch_one(&mut **tx)
                    .await?;
                (taken == 0).then_some(next - 1)
            }
            (None, None) => None,
        };
        seqs[index] = next;
    }
    Ok(seqs)
}

/// The place of new revisions in the order of their branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    AfterAll,
    /// Before all stored revisions, with room for `between` revisions between them: the branch was set back to an
    /// ancestor of the stored revisions.
    BeforeAll {
        between: usize,
    },
}

impl Store {
    /// Moves a branch in one transaction, and records events about the newest revisions that come after all others. A
    /// revision that a force-push brought back keeps its place, and is marked as on the branch again. If the head is no
    /// longer `seen_head`, returns `false` and changes nothing.
    pub async fn advance_branch(
        &self,
        branch_id: &BranchId,
        seen_head: Option<&str>,
        branch_move: &BranchMove,
        now: Timestamp,
    ) -> Result<bool> {
        let BranchMove {
            head,
            new,
            insert,
            left,
        } = branch_move;
        let mut tx = self.begin().await?;
        let moved =
            sqlx::query("UPDATE branch SET head = $1 WHERE id = $2 AND (head = $3 OR (head IS NULL AND $3 IS NULL))")
                .bind(head)
                .bind(branch_id)
                .bind(seen_head)
                .execute(&mut *tx)
                .await?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        for sha in left {
            sqlx::query("UPDATE revision SET left_at = $1 WHERE branch_id = $2 AND sha = $3 AND left_at IS NULL")
                .bind(now)
                .bind(branch_id)
                .bind(sha)
                .execute(&mut *tx)
                .await?;
        }
        let (least, greatest, listed_at): (Option<i64>, Option<i64>, Option<i64>) =
            sqlx::query_as("SELECT MIN(seq), MAX(seq), MAX(listed_at) FROM revision WHERE branch_id = $1")
                .bind(branch_id)
                .fetch_one(&mut *tx)
                .await?;
        let mut seq = match insert {
            Insert::AfterAll => greatest.unwrap_or(0),
            Insert::BeforeAll { between } => least.unwrap_or(0) - (between + new.len()) as i64 - 1,
        };
        let seqs = seqs_before_stored(&mut tx, branch_id, new).await?;
        let mut listed_at = listed_at.unwrap_or(0);
        for (index, (revision, stored)) in new.iter().zip(seqs).enumerate() {
            let id = new_id();
            let seq = stored.unwrap_or_else(|| {
                seq += 1;
                seq
            });
            // lists follow history, whatever date a commit has
            listed_at = listed_at.max(revision.committed_at.min(now).as_millis());
            let id: String = sqlx::query_scalar(
                "INSERT INTO revision (id, branch_id, seq, sha, tree, parent, author, subject, committed_at, version, discovered_at, label, svn_folder,
                     listed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                 ON CONFLICT (branch_id, sha) DO UPDATE SET left_at = NULL RETURNING id",
            )
            .bind(&id)
            .bind(branch_id)
            .bind(seq)
            .bind(&revision.sha)
            .bind(&revision.tree)
            .bind(&revision.parent)
            .bind(&revision.author)
            .bind(&revision.subject)
            .bind(revision.committed_at)
            .bind(&revision.version)
            .bind(now)
            .bind(revision.svn.as_ref().map(SvnRevision::label))
            .bind(revision.svn.as_ref().map(|svn| svn.folder.to_string()))
            .bind(listed_at)
            .fetch_one(&mut *tx)
            .await?;
            // only the end of a long history gets events
            if *insert == Insert::AfterAll && index + NEWS_MOST >= new.len() {
                self.insert_event(&mut tx, EventKind::RevisionSeen, &id, now).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Returns the hash of the newest earlier revision on the branch of a revision that has a ready image of a variant.
    /// Considers the hundred revisions before it.
    pub async fn sha_before(&self, id: &RevisionId, variant: &str) -> Result<Option<String>> {
        let sql = "SELECT earlier.sha FROM revision
                   JOIN revision AS earlier ON earlier.branch_id = revision.branch_id AND earlier.seq < revision.seq
                        AND earlier.seq >= revision.seq - 100 AND earlier.left_at IS NULL
                   WHERE revision.id = $1 AND EXISTS (
                       SELECT 1 FROM revision_image AS planned JOIN image ON image.id = planned.image_id
                       WHERE planned.revision_id = earlier.id AND planned.variant = $2 AND image.state = 'ready')
                   ORDER BY earlier.seq DESC LIMIT 1";
        Ok(sqlx::query_scalar(sql)
            .bind(id)
            .bind(variant)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Returns the ids in git of all stored revisions that are on a branch.
    pub async fn shas_on_branch(&self, branch_id: &BranchId) -> Result<BTreeSet<String>> {
        let shas: Vec<String> = sqlx::query_scalar("SELECT sha FROM revision WHERE branch_id = $1 AND left_at IS NULL")
            .bind(branch_id)
            .fetch_all(self.pool())
            .await?;
        Ok(shas.into_iter().collect())
    }

    /// Returns the stored revisions of a Subversion folder that are on a branch, oldest first. Each is a number in
    /// Subversion and an id in git.
    pub async fn in_svn_folder(&self, branch_id: &BranchId, folder: &SvnFolder) -> Result<Vec<(u64, String)>> {
        let rows: Vec<Labelled> = sqlx::query_as(
            "SELECT id, label, sha FROM revision WHERE branch_id = $1 AND svn_folder = $2 AND left_at IS NULL",
        )
        .bind(branch_id)
        .bind(folder.to_string())
        .fetch_all(self.pool())
        .await?;
        let mut numbered = Vec::with_capacity(rows.len());
        for row in rows {
            numbered.push((row.number()?, row.sha));
        }
        numbered.sort();
        Ok(numbered)
    }

    pub async fn revision(&self, id: &RevisionId) -> Result<Option<Revision>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id WHERE revision.id = $1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Finds a revision by its id in git, full or abbreviated to 7 digits or more, or by its label. If several rows
    /// match, prefers watched branches or, for a label, revisions that have not left their branch, and among these the
    /// newest row.
    pub async fn revision_by_sha(&self, sha: &str) -> Result<Option<Revision>> {
        if number(sha).is_some() {
            // a repository may have been replaced: prefer the revision that is on its branch
            let sql = format!(
                "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
                 WHERE revision.label = $1
                 ORDER BY CASE WHEN revision.left_at IS NULL THEN 0 ELSE 1 END, revision.id DESC LIMIT 1"
            );
            let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sha);
            return Ok(query.fetch_optional(self.pool()).await?);
        }
        if sha.len() < 7 || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let sha = sha.to_lowercase();
        // neither database uses an index for LIKE, but both do for a range
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.sha >= $1 AND revision.sha < $2
             ORDER BY branch.watched DESC, CASE WHEN revision.left_at IS NULL THEN 0 ELSE 1 END, revision.id DESC LIMIT 1"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(&sha)
            .bind(format!("{sha}g"));
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Returns the revisions of watched branches whose image or runs are not planned yet. The newest revision of each
    /// branch is always included, because changed recipes are planned on it again.
    pub async fn revisions_to_plan(&self) -> Result<Vec<Revision>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
             WHERE revision.left_at IS NULL AND branch.watched = 1
               AND (revision.planned_at IS NULL OR revision.sha = branch.head)
             ORDER BY branch.position, revision.seq DESC"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await?)
    }

    /// Returns the `most` newest revisions of a branch that have a ready image as a variant on a platform, newest
    /// first. Looks only at the newest hundred revisions.
    pub async fn newest_with_image(
        &self,
        branch: &BranchId,
        (variant, platform): (&str, &str),
        most: i64,
    ) -> Result<Vec<Revision>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM revision JOIN branch ON branch.id = revision.branch_id
             JOIN revision_image AS planned ON planned.revision_id = revision.id AND planned.variant = $3 AND planned.platform = $4
             JOIN image ON image.id = planned.image_id AND image.state = 'ready'
             WHERE revision.branch_id = $1 AND revision.left_at IS NULL AND revision.seq > (
                 SELECT MAX(newest.seq) - 100 FROM revision AS newest WHERE newest.branch_id = $1)
             ORDER BY revision.seq DESC LIMIT $2"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(branch)
            .bind(most)
            .bind(variant)
            .bind(platform);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// Records that all runs of a revision are planned.
    pub async fn revision_planned(&self, id: &RevisionId, at: Timestamp) -> Result<()> {
        sqlx::query("UPDATE revision SET planned_at = $1 WHERE id = $2 AND planned_at IS NULL")
            .bind(at)
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
