//! Lists of `name=value` pairs, as OpenTelemetry's variables of the environment have them.
//!
//! Must not know what they name.

/// The pairs of a list with commas between them. Values may be percent-encoded.
///
/// # Errors
/// What is wrong with the first pair that is none, without its value: that may be a secret.
pub fn pairs(list: &str) -> Result<Vec<(String, String)>, String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair).collect()
}

/// One pair.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("has a part that is no NAME=VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has a part without a name before its =".to_owned());
    }
    let value = decoded(value).ok_or_else(|| format!("has a value of {name} that is not percent-encoded UTF-8"))?;
    Ok((name.to_owned(), value))
}

fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_exporters_read_them_and_a_wrong_one_is_said_without_its_value() {
        let read = pairs(" a=1 ,b = x%20y%2Cz,, c=d=e").unwrap();
        let expected = [("a", "1"), ("b", "x y,z"), ("c", "d=e")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(pairs("").unwrap(), []);
        for wrong in ["secret", "=secret", "a b=secret", "k=secret%", "k=secret%4", "k=secret%zz", "k=secret%ff"] {
            let said = pairs(wrong).unwrap_err();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
