//! What a reader can choose to see of the matrix.

use super::web::{Site, sites};

/// The projects whose columns a page has.
async fn columns(site: &Site, path: &str) -> Vec<String> {
    let page = site.page(path).await;
    let head = page
        .split("<thead>")
        .nth(1)
        .map(|rest| rest.split("</thead>").next().unwrap());
    let links = head.unwrap_or_default().split("href=\"/project/").skip(1);
    links.map(|link| link.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn projects_are_chosen_by_owner_label_tier_and_result() {
    for site in sites().await {
        site.sample.everything().await;
        let all = columns(&site, "/branch/trunk").await;
        assert!(all.len() > 5, "{all:?}");
        for (project, tags) in [
            ("attrs", r#"{"owners":["ada@example.org"],"labels":["Web"],"tier":1}"#),
            ("idna", r#"{"owners":["Ada@example.org"],"labels":[],"tier":2}"#),
        ] {
            sqlx::query("UPDATE project SET tags = $1 WHERE name = $2")
                .bind(tags)
                .bind(project)
                .execute(site.sample.store.pool())
                .await
                .unwrap();
        }
        for (query, chosen) in [
            ("owner=ada%40example.org", vec!["attrs", "idna"]),
            ("label=web", vec!["attrs"]),
            ("tier=2", vec!["idna"]),
            ("owner=ada%40example.org&tier=1&named=A", vec!["attrs"]),
            ("owner=nobody", vec![]),
        ] {
            assert_eq!(
                columns(&site, &format!("/branch/trunk?{query}")).await,
                chosen,
                "{query}"
            );
        }
        let page = site.page("/branch/trunk?owner=nobody").await;
        assert!(page.contains("No project fits these choices."), "{page}");
        let failing = columns(&site, "/branch/trunk?state=fail").await;
        assert!(!failing.is_empty() && failing.len() < all.len(), "{failing:?}");
        // what was chosen stays chosen
        let page = site.page("/branch/trunk?tier=2&about=gh").await;
        assert!(
            page.contains("value=\"2\" selected") && page.contains("name=\"about\" maxlength=\"100\" value=\"gh\""),
            "{page}"
        );
    }
}

#[tokio::test]
async fn revisions_are_chosen_by_words_and_by_a_day() {
    for site in sites().await {
        site.sample.everything().await;
        let store = &site.sample.store;
        while store.index_words().await.unwrap() > 0 {}
        let rows = async |path: &str| site.page(path).await.matches("<a class=\"subject\"").count();
        let all = rows("/branch/trunk").await;
        let of_one = rows("/branch/trunk?about=guido").await;
        assert!(of_one > 0 && of_one < all, "{of_one} of {all}");
        let page = site.page("/branch/trunk?about=guido").await;
        assert_eq!(page.matches("class=\"author\">Guido").count(), of_one, "{page}");
        // the row below is not the revision before, so nothing is said to be the same
        assert!(!page.contains(" same\""), "{page}");
        assert!(site.page("/branch/trunk").await.contains(" same\""));
        assert_eq!(rows("/branch/trunk?about=guido&changes=only").await, of_one);
        // no word at all leaves nothing out
        assert!(site.page("/branch/trunk?about=!").await.contains(" same\""));
        assert_eq!(rows("/branch/trunk?about=nosuchword").await, 0);
        assert!(
            site.page("/?about=nosuchword")
                .await
                .contains("No recent revision is about nosuchword")
        );

        // long ago there was none, and in the future all there are
        for (path, shown) in [
            ("/branch/trunk?until=1999-01-01&tier=1", 0),
            ("/branch/trunk?until=9000-01-01", all),
            ("/branch/trunk?until=9999-12-31", all),
            ("/?until=1999-01-01", 0),
        ] {
            assert_eq!(rows(path).await, shown, "{path}");
        }
        let days: Vec<i64> = sqlx::query_scalar(
            "SELECT listed_at FROM revision JOIN branch ON branch.id = branch_id WHERE branch.name = 'trunk' ORDER BY seq",
        )
        .fetch_all(store.pool())
        .await
        .unwrap();
        let middle = days[days.len() / 2];
        let time = pybots::domain::time::Timestamp::from_millis(middle);
        let scope = pybots::store::views::Scope::Branch("trunk".into());
        let found = store.first_since(&scope, time).await.unwrap().unwrap();
        let older = store.matrix(&scope, 100, Some(&found)).await.unwrap();
        let revisions: std::collections::BTreeSet<&str> = older.rows.iter().map(|row| row.sha.as_str()).collect();
        assert_eq!(revisions.len(), days.iter().filter(|day| **day < middle).count());
    }
}
