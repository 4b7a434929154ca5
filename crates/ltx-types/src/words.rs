//! The words that the name of an entry is made of: `rank` is one of `lora_rank` and none of `frank_x`.
//!
//! Must not know what a word means.

/// The words of a name in lower case, between signs, between letters and digits, and at the borders of camel case.
/// `LoRA` is one word, whatever its capitals say.
pub fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let letters: Vec<char> = name.replace("LoRA", "Lora").chars().collect();
    for (at, c) in letters.iter().enumerate() {
        if !c.is_alphanumeric() {
            continue;
        }
        let begins = match at.checked_sub(1).map(|before| letters[before]) {
            Some(before) if before.is_alphanumeric() => {
                let next_is_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
                let camel = c.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower));
                camel || before.is_numeric() != c.is_numeric()
            }
            _ => true,
        };
        match words.last_mut() {
            Some(word) if !begins => word.extend(c.to_lowercase()),
            _ => words.push(c.to_lowercase().collect()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_between_signs_digits_and_capitals() {
        for (name, expected) in [
            ("lora_scale", &["lora", "scale"][..]),
            ("modelspec.lora-rank", &["modelspec", "lora", "rank"]),
            ("networkAlphas", &["network", "alphas"]),
            ("LoRA_alpha", &["lora", "alpha"]),
            ("LoRAScale", &["lora", "scale"]),
            ("HTMLTitle", &["html", "title"]),
            ("LORA SCALE", &["lora", "scale"]),
            ("rank4", &["rank", "4"]),
            ("upscaler_version", &["upscaler", "version"]),
            ("frank_x", &["frank", "x"]),
            ("été_Échelle", &["été", "échelle"]),
            ("__", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }
}
