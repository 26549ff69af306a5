use super::*;
use crate::cli::bisect::ends::EndView;

fn answers() -> Answers {
    let end = || EndView::new("a", "a", None);
    Answers::new(Change::Broke, Ends::of(Change::Broke, end(), end()))
}

fn culprit(revision: &str, tests: &[&str]) -> AnswerView {
    AnswerView {
        culprit: Some(revision.to_owned()),
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        ..AnswerView::new("culprit", &[])
    }
}

fn inconclusive(tests: &[&str]) -> AnswerView {
    AnswerView {
        answer: "inconclusive",
        culprit: None,
        ..culprit("", tests)
    }
}

fn found(answers: &Answers) -> Vec<(&str, &[String], Option<usize>)> {
    let views = answers.answers.iter();
    views
        .map(|view| {
            let parent = view.merge.as_ref().and_then(|merge| merge.parent);
            (view.culprit.as_deref().unwrap_or_default(), &view.tests[..], parent)
        })
        .collect()
}

#[test]
fn a_merge_is_the_answer_until_one_of_its_lines_shows_the_change() {
    let mut answers = answers();
    answers.answers.push(culprit("merge", &["a", "b"]));
    answers.add_inside_merge(inconclusive(&["a", "b"]), "merge", 2);
    let by_itself = answers.answers[0].text(Change::Broke);
    assert!(by_itself.contains(BY_ITSELF), "{by_itself}");
    // the next line shows it for one of the two
    answers.add_inside_merge(culprit("inside", &["a"]), "merge", 3);
    let (a, b) = (["a".to_owned()], ["b".to_owned()]);
    assert_eq!(found(&answers), [("merge", &b[..], None), ("inside", &a[..], Some(3))]);
    assert_eq!(
        answers.answers[1].text(Change::Broke),
        "inside broke a\n  \n  parent 3 of the merge merge brought it\n"
    );
    let json = serde_json::json!(answers.answers);
    assert_eq!(
        json[0]["merge"],
        serde_json::json!({ "revision": "merge", "parent": null })
    );
    assert_eq!(
        json[1]["merge"],
        serde_json::json!({ "revision": "merge", "parent": 3 })
    );
    answers.add_inside_merge(culprit("other", &["b"]), "merge", 4);
    assert_eq!(
        found(&answers),
        [("inside", &a[..], Some(3)), ("other", &b[..], Some(4))]
    );
}
