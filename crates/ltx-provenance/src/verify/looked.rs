//! What was found of a file beside its credentials, and the verdict that follows with them or without.
//!
//! Must not know containers.

use super::{Found, Pictures, Report, Trust, Verdict, credentials::Claimed, mark};
use serde_json::{Map, Value};
use std::path::Path;

/// The pictures of a file, decoded.
pub(super) struct Decoded {
    pub(super) count: usize,
    pub(super) sha256: String,
}

/// What was found of a file beside its credentials; the same for every kind.
pub(super) struct Looked<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: &'static str,
    /// Its pictures, or why they cannot be decoded.
    pub(super) decoded: Result<Decoded, String>,
    /// The mark in its metadata.
    pub(super) left: Option<Map<String, Value>>,
    /// SHA-256 of its pictures, as a sidecar says.
    pub(super) beside: Option<String>,
}

impl Looked<'_> {
    /// Without credentials, what is left is a mark that anybody can write.
    pub(super) fn without(self) -> Report {
        let said = self.left.as_ref().and_then(|mark| mark::text(mark, "pictures_sha256"));
        let by = self.beside.as_ref().map(|_| "sidecar").or(said.as_ref().map(|_| "metadata"));
        let expected = self.beside.clone().or(said);
        let told = expected.is_some();
        let pictures = self.pictures(expected, by);
        let verdict = match pictures.same {
            Some(false) => Verdict::Reencoded,
            // Pictures that cannot be decoded are not those that were marked.
            None if told => Verdict::Reencoded,
            _ if told || self.left.is_some() => Verdict::Stripped,
            _ => Verdict::Unsigned,
        };
        let mut found = vec![Found::new("ltxd.credentials.none", "there are no content credentials in it")];
        found.extend(self.undecodable());
        let of_ltxd = self.left.is_some();
        let mark = self.left.clone().map(Value::Object);
        self.report(verdict, (of_ltxd, mark, false), pictures, found)
    }

    /// With credentials that nobody can read.
    pub(super) fn damaged(self, why: String) -> Report {
        let said = self.left.as_ref().and_then(|mark| mark::text(mark, "pictures_sha256"));
        let by = said.as_ref().map(|_| "metadata");
        let pictures = self.pictures(said, by);
        let mut found = vec![Found::new("ltxd.credentials.damaged", why)];
        found.extend(self.undecodable());
        let of_ltxd = self.left.is_some();
        let mark = self.left.clone().map(Value::Object);
        self.report(Verdict::Changed, (of_ltxd, mark, false), pictures, found)
    }

    /// With credentials, and what beside them is not as it was signed.
    pub(super) fn with(self, claimed: Claimed, own: Vec<Found>) -> Report {
        let Claimed { signer, usage, of_ltxd, mut faults, notes } = claimed;
        faults.extend(own);
        let expected = usage.as_ref().and_then(|usage| usage["pictures_sha256"].as_str()).map(str::to_owned);
        let by = expected.as_ref().map(|_| "signature");
        let pictures = self.pictures(expected, by);
        if pictures.same == Some(false) {
            faults.push(Found::new("ltxd.pictures.mismatch", "its pictures are others than were signed"));
        }
        let count = usage.as_ref().map(|usage| usage["pictures"].as_u64());
        if count.zip(pictures.count).is_some_and(|(signed, count)| signed != Some(count)) {
            faults.push(Found::new("ltxd.pictures.count", "its pictures are more or fewer than were signed"));
        }
        // Of a stranger's file, what cannot be decoded here is not held against it.
        if usage.is_some() {
            faults.extend(self.undecodable());
        }
        if signer.is_none() {
            faults.push(Found::new("ltxd.signer.none", "its credentials name no signer"));
        }
        let verdict = match (faults.is_empty(), signer.as_ref().map(|signer| &signer.trust)) {
            (false, _) | (_, None) => Verdict::Changed,
            (true, Some(Trust::By(_))) => Verdict::Trusted,
            (true, Some(Trust::ByNone)) => Verdict::Untrusted,
        };
        let mark = usage.map(|mut usage| usage["mark"].take());
        let is_signed = faults.is_empty() && mark.is_some();
        faults.extend(notes);
        let report = self.report(verdict, (of_ltxd && mark.is_some(), mark, is_signed), pictures, faults);
        Report { signer, ..report }
    }

    fn pictures(&self, expected: Option<String>, by: Option<&'static str>) -> Pictures {
        let (count, sha256) = self.decoded.as_ref().ok().map(|its| (its.count as u64, its.sha256.clone())).unzip();
        let same = sha256.as_ref().zip(expected.as_ref()).map(|(sha256, expected)| sha256 == expected);
        Pictures { count, sha256, expected_sha256: expected, expected_by: by, same }
    }

    fn undecodable(&self) -> Option<Found> {
        self.decoded.as_ref().err().map(|why| Found::new("ltxd.pictures.undecodable", why))
    }

    fn report(
        &self,
        verdict: Verdict,
        (of_ltxd, mark, is_signed): (bool, Option<Value>, bool),
        pictures: Pictures,
        found: Vec<Found>,
    ) -> Report {
        let usage_class = mark.as_ref().and_then(|mark| mark["usage_class"].as_str()).map(str::to_owned);
        Report {
            file: self.path.to_owned(),
            kind: self.kind,
            verdict,
            signer: None,
            output_of_ltxd: of_ltxd,
            usage_class,
            mark,
            mark_is_signed: is_signed,
            pictures,
            found,
            files: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Signer, *};
    use serde_json::json;

    fn with(pictures: Value) -> Report {
        let signer = Signer {
            subject: String::new(),
            issuer: String::new(),
            until: String::new(),
            certificate_sha256: String::new(),
            time: None,
            trust: Trust::By("root.pem".into()),
        };
        let usage = json!({ "pictures": pictures, "pictures_sha256": "ab", "mark": {} });
        let claimed =
            Claimed { signer: Some(signer), usage: Some(usage), of_ltxd: true, faults: Vec::new(), notes: Vec::new() };
        let decoded = Ok(Decoded { count: 9, sha256: "ab".to_owned() });
        let looked = Looked { path: Path::new("x"), kind: "mp4", decoded, left: None, beside: None };
        looked.with(claimed, Vec::new())
    }

    #[test]
    fn the_number_of_pictures_is_the_signed_one() {
        assert_eq!(with(json!(9)).verdict, Verdict::Trusted);
        for other in [json!(8), json!("9"), Value::Null] {
            let report = with(other);
            assert_eq!((report.verdict, report.found[0].code.as_str()), (Verdict::Changed, "ltxd.pictures.count"));
        }
    }
}
