//! The names of everything that a service keeps in NATS.
//!
//! Must not know what is kept under them. Names that clients give stand there as digests: they may hold anything.

use ltx_jobs::{ClientId, GenerationId};
use sha2::{Digest, Sha256};

/// The names of one service.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    service: String,
}

/// What a key of the bucket names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    Generation(GenerationId),
    Upload,
    Intent,
    Node(&'a str),
    Sweep,
    Other,
}

fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    format!("{:x}", digest.finalize())[..32].to_owned()
}

pub(crate) const CLOCK: &str = "s.clock";
pub(crate) const SWEEP: &str = "s.sweep";
pub(crate) const SETTINGS: &str = "s.settings";

pub(crate) fn generation(id: GenerationId) -> String {
    format!("g.{id}")
}

/// Of the generations of a request under its id.
pub(crate) fn request(client: &ClientId, request_id: &str) -> String {
    format!("r.{}", digest(&[client.as_str(), request_id]))
}

/// Of several generations without a name of their client's.
pub(crate) fn several(first: GenerationId) -> String {
    format!("r.{}", digest(&[&first.to_string()]))
}

pub(crate) fn upload(client: &ClientId, sha256: &str) -> String {
    format!("u.{}.{sha256}", digest(&[client.as_str()]))
}

/// When somebody last relied on an image.
pub(crate) fn image(sha256: &str) -> String {
    format!("i.{sha256}")
}

pub(crate) fn admission(client: &ClientId) -> String {
    format!("a.{}", digest(&[client.as_str()]))
}

/// Of a node's card.
pub(crate) fn node(id: &str) -> String {
    card(&digest(&[id]))
}

/// The same, of the digest that [`Named::Node`] holds.
pub(crate) fn card(digest: &str) -> String {
    format!("n.{digest}")
}

pub(crate) fn named(key: &str) -> Named<'_> {
    match key.split_once('.') {
        Some(("g", id)) => id.parse().map_or(Named::Other, Named::Generation),
        Some(("u", _)) => Named::Upload,
        Some(("r", _)) => Named::Intent,
        Some(("n", id)) => Named::Node(id),
        Some(("s", "sweep")) => Named::Sweep,
        _ => Named::Other,
    }
}

impl Names {
    pub(crate) fn of(service: &str) -> Self {
        Self { service: service.to_owned() }
    }

    /// The stream of the bucket of documents; `nats kv` shows it as the service's name.
    pub(crate) fn records(&self) -> String {
        format!("KV_{}", self.service)
    }

    pub(crate) fn record(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.service)
    }

    pub(crate) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix("$KV.")?.strip_prefix(self.service.as_str())?.strip_prefix('.')
    }

    pub(crate) fn events(&self) -> String {
        format!("{}-events", self.service)
    }

    pub(crate) fn event(&self, id: impl std::fmt::Display) -> String {
        format!("ltxd.{}.events.{id}", self.service)
    }

    /// Where previews of a generation are sent, which no stream keeps.
    pub(crate) fn preview(&self, id: GenerationId) -> String {
        format!("ltxd.{}.previews.{id}", self.service)
    }

    pub(crate) fn work(&self) -> String {
        format!("{}-work", self.service)
    }

    /// The subject of the work of a client on a model; stars for all.
    pub(crate) fn work_of(&self, model: &str, client: &ClientId) -> String {
        format!("ltxd.{}.work.{}.{}", self.service, digest(&[model]), digest(&[client.as_str()]))
    }

    pub(crate) fn all_work(&self) -> String {
        format!("ltxd.{}.work.*.*", self.service)
    }

    pub(crate) fn consumer(&self, model: &str, client: &ClientId) -> String {
        digest(&[model, client.as_str()])
    }

    pub(crate) fn bucket(&self, of: &str) -> String {
        format!("{}-{of}", self.service)
    }
}

/// A generation of a test.
#[cfg(test)]
pub(crate) fn numbered(number: u32) -> GenerationId {
    format!("018f0000-0000-7000-8000-{number:012}").parse().unwrap_or_else(|_| panic!("{number}: no id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_are_legal_tokens_and_tell_clients_apart() {
        let (names, id) = (Names::of("ltxd"), "018f0000-0000-7000-8000-000000000000".parse().unwrap());
        let clients = ["a", "a.b", "*", ">", "a b", "ä"].map(|name| ClientId::new(name).unwrap());
        let mut subjects: Vec<_> = clients.iter().map(|client| names.work_of("m", client)).collect();
        assert!(subjects.iter().all(|it| it.split('.').count() == 5 && !it.contains(['*', '>', ' '])), "{subjects:?}");
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), clients.len());
        let key = generation(id);
        assert_eq!(names.key(&names.record(&key)).map(named), Some(Named::Generation(id)));
        assert_eq!(names.key("$KV.ltxd2.g.x"), None);
        assert_ne!(request(&clients[0], "r"), request(&clients[1], "r"));
    }
}
