//! Search by words: on every database that is there.

use crate::support::stores;
use crate::support::world::World;
use pybots::store::Store;

async fn set(store: &Store, sha: &str, subject: &str, author: &str) {
    sqlx::query("UPDATE revision SET subject = $1, author = $2 WHERE sha LIKE $3")
        .bind(subject)
        .bind(author)
        .bind(format!("{sha}%"))
        .execute(store.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn people_find_revisions_by_words() {
    for database in stores().await {
        let store = &database.store;
        let world = World::on(database.name, store).await;
        for (place, (sha, subject, author)) in [
            (
                "aa",
                "gh-12345: Fix argparse, again",
                "Ada Lovelace <ada@hidden.example>",
            ),
            ("bb", "Fix the zipfile", "Łukasz <l@example.org>"),
            ("cc", "Fixed argparse", "Grace"),
            ("dd", "Zzz", "Grace"),
        ]
        .into_iter()
        .enumerate()
        {
            world.revision("trunk", sha, i64::try_from(place).unwrap() + 1).await;
            set(store, sha, subject, author).await;
        }
        sqlx::query("UPDATE revision SET left_at = 1 WHERE sha LIKE 'dd%'")
            .execute(store.pool())
            .await
            .unwrap();
        assert_eq!(store.index_words().await.unwrap(), 4, "{}", database.name);
        assert_eq!(store.index_words().await.unwrap(), 0, "{}", database.name);
        let found = async |query: &str| {
            let found = store.find_revisions(query, 9).await.unwrap();
            let names = found.iter().map(|revision| revision.sha[..2].to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        for (query, expected) in [
            ("argparse", "cc aa"),
            ("ARGP fix", "cc aa"),
            ("argparse again", "aa"),
            ("gh-12345", "aa"),
            ("1234", "aa"),
            ("lovelace", "aa"),
            ("łukasz", "bb"),
            ("hidden", ""),
            ("fix the", "bb"),
            ("zzz", ""),
            ("zip zap", ""),
            ("", ""),
            ("a - !", ""),
            ("% _ ' \" \\", ""),
        ] {
            assert_eq!(found(query).await, expected, "{query:?} on {}", database.name);
        }
        assert_eq!(store.find_revisions("fix", 1).await.unwrap().len(), 1);
    }
}
