//! `sanlock explain`: what a result means.

use std::ffi::OsString;

use sanlock_proto::numbers::{self, Explanation};

use super::console::Console;

/// Explains each word; whether all of them meant something.
pub fn run(words: &[OsString], console: &mut Console<'_>) -> bool {
    if words.is_empty() {
        console
            .hint("sanlock: explain what? Give a number (-243) or a symbol (SANLK_ACQUIRE_IDLIVE)");
        return false;
    }
    let mut known = true;
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            console.say("");
        }
        let word = word.to_string_lossy();
        let found = explanations(&word);
        if found.is_empty() {
            known = false;
            console.hint(format_args!(
                "sanlock: \"{word}\" is neither a result of sanlock nor a symbol"
            ));
        }
        for explanation in found {
            known &= explanation.number >= 0 || explanation.main().is_some();
            console.raw(explanation.to_string().as_bytes());
        }
    }
    known
}

/// What a word can stand for: a number, also without its minus, or a symbol.
fn explanations(word: &str) -> Vec<Explanation> {
    let Ok(number) = word.trim().parse::<i32>() else {
        let readings = numbers::by_symbol(word.trim());
        let mut numbers: Vec<i32> = readings.iter().map(|reading| reading.number).collect();
        numbers.dedup();
        return numbers.into_iter().map(numbers::explain).collect();
    };
    let explanation = numbers::explain(number);
    let negated = numbers::explain(number.saturating_neg());
    let means_negated = number > 0 && explanation.main().is_none() && negated.main().is_some();
    vec![if means_negated { negated } else { explanation }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::console::captured;

    fn explained(words: &[&str]) -> (bool, String, String) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        captured(|console| run(&words, console))
    }

    #[test]
    fn numbers_and_symbols_say_the_same() {
        let (known, by_number, errors) = explained(&["-243"]);
        assert!(known && errors.is_empty());
        assert!(by_number.contains("SANLK_ACQUIRE_IDLIVE"));
        for other in ["243", "SANLK_ACQUIRE_IDLIVE", "acquire_idlive"] {
            assert_eq!(
                explained(&[other]),
                (true, by_number.clone(), String::new()),
                "{other}"
            );
        }
    }

    #[test]
    fn both_layers_of_a_number_are_explained() {
        let (_, text, _) = explained(&["-210"]);
        assert!(text.contains("SANLK_DBLOCK_READ") && text.contains("lvmlockd"));
    }

    #[test]
    fn what_means_nothing_fails() {
        assert!(!explained(&[]).0);
        assert!(!explained(&["bogus"]).0);
        assert!(!explained(&["-9999"]).0);
        assert!(explained(&["0"]).0);
        assert!(explained(&["1048576"]).0);
    }
}
