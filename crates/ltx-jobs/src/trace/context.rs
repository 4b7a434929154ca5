//! The trace that a request belongs to and its span there, as W3C Trace Context writes them.
//!
//! Must not know spans. What comes from outside is read here, and what is not written as it must be counts as nothing, as that
//! standard has it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};
use std::fmt;

/// The longest list of what other systems say of a trace; a longer one is left out.
const STATE_BYTES: usize = 512;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A span, as those beneath it name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// What other systems say of the trace (`tracestate`); mostly nothing.
    pub state: String,
}

impl TraceContext {
    /// What `traceparent` and `tracestate` say; `None` where the first is none.
    pub fn read(parent: &str, state: &str) -> Option<Self> {
        let mut fields = parent.split('-');
        let version = hex::<1>(fields.next()?)?[0];
        let (trace, span, flags) = (hex(fields.next()?)?, hex(fields.next()?)?, hex::<1>(fields.next()?)?[0]);
        // Later versions may say more behind what this one knows.
        let more = fields.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let legible = state.len() <= STATE_BYTES && state.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        let state = if legible { state.to_owned() } else { String::new() };
        Some(Self { trace, span, sampled: flags & SAMPLED != 0, state })
    }

    /// The same trace at another span.
    pub fn at(&self, span: [u8; 8]) -> Self {
        Self { span, ..self.clone() }
    }
}

/// As `traceparent` has it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled) * SAMPLED)
    }
}

/// Bytes in hexadecimal digits, lower case as the standard has them.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

/// How a record keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    parent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Kept { parent: self.to_string(), state: self.state.clone() }.serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Found {
    Kept(Kept),
    Other(IgnoredAny),
}

/// What a record says of its trace; nothing where this version cannot read that: no record is lost for its trace.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TraceContext>, D::Error> {
    match Option::<Found>::deserialize(deserializer)? {
        Some(Found::Kept(Kept { parent, state })) => Ok(TraceContext::read(&parent, &state)),
        Some(Found::Other(_)) | None => Ok(None),
    }
}

/// The same of a context that is kept by itself, as JSON.
pub(crate) fn kept(json: &str) -> Option<TraceContext> {
    lenient(&mut serde_json::Deserializer::from_str(json)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_caller_s_context_is_read_and_written_as_the_standard_has_it() {
        let context = TraceContext::read(PARENT, "rojo=00f067aa0ba902b7").unwrap();
        assert_eq!((context.to_string().as_str(), context.sampled), (PARENT, true));
        assert_eq!(context.state, "rojo=00f067aa0ba902b7");
        let later = PARENT.replace("00-0af", "01-0af") + "-more";
        assert_eq!(TraceContext::read(&later, "").unwrap().to_string(), PARENT, "a later version may say more");
        assert!(!TraceContext::read(&PARENT.replace("-01", "-00"), "").unwrap().sampled);
        for state in ["ü".to_owned(), "a=b\n".to_owned(), "x".repeat(513)] {
            assert_eq!(TraceContext::read(PARENT, &state).unwrap().state, "", "{state:?}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::read(wrong, ""), None, "{wrong}");
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
        trace: Option<TraceContext>,
    }

    #[test]
    fn a_record_keeps_it_and_is_not_lost_for_one_that_cannot_be_read() {
        let record = Record { trace: TraceContext::read(PARENT, "a=b") };
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(written, format!(r#"{{"trace":{{"parent":"{PARENT}","state":"a=b"}}}}"#));
        assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
        assert_eq!(kept(&serde_json::to_string(&record.trace).unwrap()), record.trace);
        assert_eq!((kept(""), kept("null"), kept("{")), (None, None, None));
        for none in
            ["{}", r#"{"trace":null}"#, r#"{"trace":7}"#, r#"{"trace":{"parent":"x"}}"#, r#"{"trace":{"p":[]}}"#]
        {
            assert_eq!(serde_json::from_str::<Record>(none).unwrap(), Record { trace: None }, "{none}");
        }
        assert_eq!(serde_json::to_string(&Record { trace: None }).unwrap(), "{}");
    }
}
