//! Words from a file, made safe to print, and suggestions for misspelt ones.
//! Must not know where the words come from.

/// The longest piece of a file that a message repeats, in characters.
const LONGEST: usize = 60;

/// The longest word for which a nearest one is looked for; the search is quadratic in it.
const LONGEST_GUESS: usize = 64;

/// A word in backquotes: cut when long, with control characters escaped so that a terminal stays whole.
pub(crate) fn quote(word: &str) -> String {
    let mut text = String::from("`");
    for c in word.chars().take(LONGEST) {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if word.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text.push('`');
    text
}

/// The candidate that the word was probably meant to be.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > LONGEST_GUESS {
        return None;
    }
    let folded = word.to_lowercase().replace('_', "-");
    let near = |candidate: &&str| strsim::jaro_winkler(&folded, &candidate.to_lowercase());
    (candidates.into_iter())
        .map(|candidate| (near(&candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The words in backquotes, as a list for a sentence.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(quote).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_drive_a_terminal() {
        assert_eq!(quote("a\u{1b}[2Jb"), "`a\\u{1b}[2Jb`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), LONGEST + 3);
    }

    #[test]
    fn the_nearest_word_is_guessed_and_no_far_one() {
        let words = ["stores", "sites", "routes"];
        assert_eq!(nearest("store", words), Some("stores"));
        assert_eq!(nearest("Sites", words), Some("sites"));
        assert_eq!(nearest("banana", words), None);
        assert_eq!(nearest("accept-loss", ["accept_loss"]), Some("accept_loss"));
    }
}
