//! Whatever the bytes: no panic, every place inside the file, and what is refused says why.

use mainstay_model::{Style, codes, template};
use proptest::prelude::*;

use crate::common::{EXAMPLE, bytes};

fn holds(input: &[u8]) {
    let problems = match bytes(input) {
        Ok(parsed) => {
            assert!(!parsed.warnings.has_errors());
            assert_eq!(bytes(input).map(|again| again.plan), Ok(parsed.plan));
            parsed.warnings
        }
        Err(problems) => {
            assert!(problems.has_errors());
            problems
        }
    };
    for one in problems.list() {
        let place = one.place;
        assert!(
            place.start <= place.end && place.end <= problems.source().len(),
            "{one:?}"
        );
        assert!(problems.source().is_char_boundary(place.start), "{one:?}");
        let lines = problems.source().split('\n').count();
        assert!((1..=lines + 1).contains(&(place.line as usize)), "{one:?}");
        assert!(codes().iter().any(|(code, _)| *code == one.code), "{one:?}");
        assert!(!one.message.is_empty());
    }
    let _ = problems.render(Style::Plain);
    let _ = problems.to_json();
}

/// A change to a good file: cut, repeat or replace a piece.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}:,&*!|>'\"%@`#?~ \n\t-]{1,4}",
        Just("<<: ".to_owned()),
        Just("null".to_owned()),
        Just("\u{1f4a5}".to_owned()),
        "[a-z]{1,6}: ",
        "[0-9]{1,20}",
    ];
    let change = (0..text.len(), 0..40_usize, piece);
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut text = text.as_bytes().to_vec();
        for (at, length, piece) in changes {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.bytes());
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 0..400)) {
        holds(&input);
    }

    #[test]
    fn any_text(input in "\\PC{0,200}") {
        holds(input.as_bytes());
    }

    #[test]
    fn yaml_like_text(input in "([a-c]{1,2}|[\\[\\]{}:,&*!|>'\"%@`#?~-]|[ \n\t]){0,80}") {
        holds(input.as_bytes());
    }

    #[test]
    fn a_changed_example(input in mutated(EXAMPLE)) {
        holds(&input);
    }

    #[test]
    fn a_changed_template(input in mutated(template())) {
        holds(&input);
    }

    #[test]
    fn a_secret_is_never_repeated(
        field in prop::sample::select(vec!["password", "db_password", "token", "api-key", "url", "key"]),
        secret in "[b-z]{4}7[b-z]{8}",
        after in prop::sample::select(vec!["", "\n  x: [", "\n  x: 1\n x: 2", "\n\u{7}", "\n  x: y: z", " }"]),
    ) {
        let value = if field == "url" { format!("postgres://app:{secret}@db/x") } else { secret.clone() };
        let text = format!("stores:\n  a:\n    {field}: {value}{after}\n");
        let problems = bytes(text.as_bytes()).expect_err("refused");
        for told in [problems.render(Style::Plain), problems.to_string(), problems.to_json().to_string()] {
            prop_assert!(!told.contains(&secret), "{told}");
        }
    }
}
