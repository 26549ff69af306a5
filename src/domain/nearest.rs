//! Suggestions for misspelt words.

/// The most bytes of a word that somebody may have misspelt.
const WORD_MOST: usize = 200;

/// Returns the candidate that is nearest to `word`, if at most two edits lead from one to the other.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > WORD_MOST {
        return None;
    }
    let distances = candidates
        .iter()
        .map(|other| (strsim::levenshtein(word, other), *other));
    let (distance, best) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2).then_some(best)
}
