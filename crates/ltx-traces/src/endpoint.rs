//! Where spans are sent.
//!
//! Must not know what is sent.

use ltx_types::FieldError;

/// The path of traces at a collector.
const PATH: &str = "/v1/traces";

/// The address of traces at a collector whose address this is, as `OTEL_EXPORTER_OTLP_ENDPOINT` says it.
pub fn base(url: &str) -> String {
    format!("{}{PATH}", url.trim_end_matches('/'))
}

/// Whether a URL names a path, as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` must: it is taken as it stands.
pub fn whole(url: &str) -> bool {
    parts(url).is_some_and(|(_, _, path)| !path.is_empty())
}

/// The address that an endpoint means: without a path, that of a collector; with one, as it stands.
///
/// # Errors
/// It is none.
pub(crate) fn checked(url: &str) -> Result<String, FieldError> {
    // Not repeated where it may hold a password.
    let refused = |rule: &str| match url.contains('@') {
        true => Err(FieldError::hidden("traces.endpoint", rule)),
        false => Err(FieldError::new("traces.endpoint", url, rule)),
    };
    let Some((_, authority, path)) = parts(url) else {
        return refused("is no URL of a collector, such as http://127.0.0.1:4318");
    };
    if authority.contains('@') {
        return refused("holds a name or a password, which would be logged: say it in traces.headers_file");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    let bad_port = port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err());
    if host.is_empty() || !host.bytes().all(legal) || bad_port {
        return refused("has no host, or no port from 0 to 65535");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains('#') {
        return refused("has a path with other characters than a URL's");
    }
    Ok(if path.is_empty() || path == "/" { base(url) } else { url.to_owned() })
}

/// Scheme, authority and what follows.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    matches!(scheme, "http" | "https").then_some((scheme, authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_s_address_gets_the_path_of_traces_and_a_whole_one_stays() {
        for (said, meant) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://[::1]:4318", "https://[::1]:4318/v1/traces"),
            ("http://[::1]", "http://[::1]/v1/traces"),
            ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
            ("https://c/other?a=b", "https://c/other?a=b"),
        ] {
            assert_eq!(checked(said).unwrap(), meant);
        }
        assert_eq!(base("https://c/otlp/"), "https://c/otlp/v1/traces");
        assert!(whole("http://c/") && whole("http://c/v1/traces") && !whole("http://c:4318") && !whole("c"));
    }

    #[test]
    fn what_is_no_address_is_refused_by_its_key() {
        for wrong in [
            "c:4318",
            "grpc://c:4317",
            "http://",
            "http://:4318",
            "http://c:port",
            "http://c:+1",
            "http://c:65536",
            "http://user:secret@c:4318",
            "http://c d",
            "http://c/a b",
            "http://c/#x",
            "HTTP://c",
        ] {
            assert_eq!(checked(wrong).unwrap_err().field, "traces.endpoint", "{wrong}");
        }
    }
}
