//! Where a web page comes from: scheme, host and port, as browsers write them in `Origin`; and the host a call was sent to.
//!
//! Must not know which of them may do what.

use ltx_types::FieldError;
use std::{fmt, net::IpAddr, str::FromStr};
use tonic::codegen::http::uri::Authority;

/// The scheme of a web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The origin of a web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub(crate) scheme: Scheme,
    host: String,
    port: u16,
}

impl FromStr for Origin {
    type Err = FieldError;

    /// From `https://studio.example` or `http://localhost:5173`. A path, `*` and `null` are none.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let error = || {
            let shown: String = text.chars().take(100).collect();
            FieldError::new("origin", shown, "is not an origin, such as https://studio.example")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(error()),
        };
        let Addressed { host, port } = rest.parse().map_err(|()| error())?;
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        match self.port == self.scheme.port() {
            true => write!(f, "{scheme}://{}", self.host),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// The host that a call is addressed to, and the port where one is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addressed {
    /// In lower case; an IPv6 address in brackets.
    pub(crate) host: String,
    port: Option<u16>,
}

impl FromStr for Addressed {
    type Err = ();

    /// From the value of `Host` or `:authority`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let authority: Authority = text.parse().map_err(drop)?;
        let port = match authority.port() {
            Some(port) => Some(port.as_str().parse().map_err(drop)?),
            None => None,
        };
        let host = authority.host().to_ascii_lowercase();
        // Neither a name before an @ nor an empty port: what is left over would be read otherwise by somebody else.
        let end_of_host = port.map_or(Some(authority.as_str().len()), |_| authority.as_str().rfind(':'));
        let plain = !host.is_empty() && !authority.as_str().contains('@') && end_of_host == Some(host.len());
        if plain { Ok(Self { host, port }) } else { Err(()) }
    }
}

impl Addressed {
    /// The address, where the host is one and no name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let inner = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match inner {
            Some(six) => six.parse().ok().filter(IpAddr::is_ipv6),
            None => self.host.parse().ok().filter(IpAddr::is_ipv4),
        }
    }

    /// Whether a page of this origin would call this host its own.
    pub(crate) fn is_of(&self, origin: &Origin) -> bool {
        self.host == origin.host && self.port.unwrap_or(origin.scheme.port()) == origin.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let origin = |text: &str| text.parse::<Origin>();
        for (text, shown) in [
            ("http://localhost:5173", "http://localhost:5173"),
            ("https://Studio.Example", "https://studio.example"),
            ("https://studio.example:443", "https://studio.example"),
            ("http://[::1]:7750", "http://[::1]:7750"),
        ] {
            assert_eq!(origin(text).unwrap().to_string(), shown);
        }
        let wrong = [
            "",
            "null",
            "*",
            "studio.example",
            "file://",
            "ftp://a",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "http://a:",
            "http://a:99999",
            "http://a b",
            "http://a http://b",
            "http://a,http://b",
            "https://a?b",
            "http://:1",
        ];
        for text in wrong {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_an_origins_own_by_name_and_port() {
        let is_own =
            |host: &str, origin: &str| host.parse::<Addressed>().unwrap().is_of(&origin.parse::<Origin>().unwrap());
        assert!(is_own("127.0.0.1:7750", "http://127.0.0.1:7750") && is_own("A.example", "https://a.example:443"));
        for (host, origin) in [
            ("127.0.0.1:7750", "http://127.0.0.1:7751"),
            ("127.0.0.1:7750", "http://localhost:7750"),
            ("a.example", "http://b.example"),
            ("a.example:80", "https://a.example"),
        ] {
            assert!(!is_own(host, origin), "{host} {origin}");
        }
    }

    #[test]
    fn a_host_is_read_whole_or_not_at_all() {
        for wrong in ["", ":", "u@h", "h:", "h:x", "h:70000", "a b", "a/b", "[::1"] {
            assert!(wrong.parse::<Addressed>().is_err(), "{wrong}");
        }
        let ip = |text: &str| text.parse::<Addressed>().unwrap().ip().map(|ip| ip.to_string());
        assert_eq!(ip("[::1]:7750").as_deref(), Some("::1"));
        assert_eq!(ip("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!((ip("localhost:1"), ip("127.0.0.1.nip.io"), ip("0x7f.1")), (None, None, None));
    }
}
