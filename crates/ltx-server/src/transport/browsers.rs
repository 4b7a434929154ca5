//! What browsers send: whether it may come in, by the host it is addressed to and by the page that sends it.
//!
//! A browser sends whatever any web page tells it to, from inside the network in which the node is. So what could come from one
//! is held against two lists: the names that the node goes by (a page that makes its own name point at the node reaches it
//! under that name: DNS rebinding), and the origins whose pages may call (the node's own, and those that the operator lists).
//! gRPC over HTTP/2 that says nothing of a page is no browser's: browsers speak HTTP/2 over TLS alone and say `Origin` in every
//! POST. Such a call may be addressed as it likes.
//!
//! Must not know what is called, nor tokens.

use super::origin::{Addressed, Origin, Scheme};
use crate::app::Problem;
use std::net::IpAddr;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};

/// What browsers say of where a request comes from; pages cannot change it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Whom the node obeys of what comes from browsers.
#[derive(Debug, Clone)]
pub(crate) struct Browsers {
    /// Where it listens.
    pub(crate) bound: IpAddr,
    /// Whether it speaks TLS itself. Then its certificate says which names are its own.
    pub(crate) tls: bool,
    /// Further names it goes by, in lower case.
    pub(crate) hosts: Vec<String>,
    /// Origins of pages that may call it beside its own.
    pub(crate) origins: Vec<Origin>,
}

/// What a request is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A call as gRPC frames it.
    Grpc,
    /// Any other call, gRPC-Web among them.
    Call,
    /// A file of the node's page, which shows nothing of the node.
    Page,
}

impl Browsers {
    /// Whether a request may come in.
    ///
    /// # Errors
    /// `HostNotAllowed`, `OriginNotAllowed`.
    pub(crate) fn admit<B>(&self, request: &Request<B>, wanted: Wanted) -> Result<(), Problem> {
        let headers = request.headers();
        let said = [SITE, MODE, DESTINATION, header::ORIGIN].iter().any(|name| headers.contains_key(name));
        if wanted == Wanted::Grpc && request.version() == Version::HTTP_2 && !said {
            return Ok(());
        }
        let host = self.host(request)?;
        if headers.get_all(header::ORIGIN).iter().count() > 1 {
            return Err(Problem::OriginNotAllowed { origin: "several".to_owned() });
        }
        let site = headers.get(SITE).map(|site| site.as_bytes());
        let strange = !matches!(site, None | Some(b"same-origin" | b"none"));
        match headers.get(header::ORIGIN) {
            Some(origin) => {
                let refused = || Problem::OriginNotAllowed { origin: shown(origin) };
                let origin: Origin = origin.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
                let own = !strange && self.is_own(&host, &origin);
                if own || self.origins.contains(&origin) { Ok(()) } else { Err(refused()) }
            }
            None if strange && !(wanted == Wanted::Page && is_visit(headers)) => {
                let site = headers.get(SITE).map(shown).unwrap_or_default();
                Err(Problem::OriginNotAllowed { origin: format!("{site}, as Sec-Fetch-Site has it") })
            }
            None => Ok(()),
        }
    }

    /// Whether a request comes from a page of a listed origin.
    pub(crate) fn is_listed(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()?.parse().ok());
        origin.is_some_and(|origin: Origin| self.origins.contains(&origin))
    }

    /// The one host that a request is addressed to, if the node goes by it.
    fn host<B>(&self, request: &Request<B>) -> Result<Addressed, Problem> {
        let headers = request.headers();
        let mut said = headers.get_all(header::HOST).iter().map(|host| host.to_str().map_err(drop));
        let target = request.uri().authority().map(|authority| Ok(authority.as_str()));
        let mut all = target.into_iter().chain(&mut said);
        let refused = |host: String| Problem::HostNotAllowed { host };
        let first = all.next().unwrap_or(Ok("")).map_err(|()| refused("no text".to_owned()))?;
        if all.any(|other| other.map_or(true, |other: &str| !other.eq_ignore_ascii_case(first))) {
            return Err(refused("several".to_owned()));
        }
        let short = || refused(first.chars().take(100).collect());
        let addressed: Addressed = first.parse().map_err(|()| short())?;
        if self.goes_by(&addressed) { Ok(addressed) } else { Err(short()) }
    }

    /// Whether the node goes by a name. Addresses cannot be rebound; of them its own are taken.
    fn goes_by(&self, addressed: &Addressed) -> bool {
        if self.tls || self.hosts.contains(&addressed.host) {
            return true;
        }
        match addressed.ip().map(|ip| ip.to_canonical()) {
            None => addressed.host == "localhost",
            Some(ip) if ip == self.bound.to_canonical() => true,
            Some(ip) => self.bound.is_unspecified() || ip.is_loopback(),
        }
    }

    /// Whether an origin is the node's own, as it was addressed.
    fn is_own(&self, host: &Addressed, origin: &Origin) -> bool {
        let scheme = match origin.scheme {
            Scheme::Http => !self.tls,
            // Of a node without TLS only where something before it speaks TLS in its name.
            Scheme::Https => self.tls || self.hosts.contains(&host.host),
        };
        scheme && host.is_of(origin)
    }
}

/// Whether somebody follows a link to the page, and no other page takes it in.
fn is_visit(headers: &HeaderMap) -> bool {
    let is = |name, value: &[u8]| headers.get(name).is_some_and(|said| said.as_bytes() == value);
    is(MODE, b"navigate") && is(DESTINATION, b"document")
}

/// A header as errors show it.
fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
#[path = "browsers_tests.rs"]
mod tests;
