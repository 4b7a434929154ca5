//! Which requests are traced, by the names that OpenTelemetry has for it.
//!
//! Must not know where they are named.

use ltx_jobs::TraceContext;

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether a caller that says whether its trace is recorded is obeyed.
    by_parent: bool,
    /// The share of the others.
    share: f64,
}

/// The names, with whether a caller is obeyed, and the share: `None` for the ratio that is said.
const NAMES: [(&str, bool, Option<f64>); 6] = [
    ("always_on", false, Some(1.0)),
    ("always_off", false, Some(0.0)),
    ("traceidratio", false, None),
    ("parentbased_always_on", true, Some(1.0)),
    ("parentbased_always_off", true, Some(0.0)),
    ("parentbased_traceidratio", true, None),
];

impl Sampler {
    /// What a sampler is called, for a sentence.
    pub const RULE: &'static str = "is none of always_on, always_off, traceidratio, parentbased_always_on, \
                                    parentbased_always_off, parentbased_traceidratio";

    /// The sampler of that name; `None` where there is none.
    pub(crate) fn named(name: &str, ratio: f64) -> Option<Self> {
        let (_, by_parent, share) = NAMES.into_iter().find(|(known, ..)| *known == name)?;
        Some(Self { by_parent, share: share.unwrap_or(ratio) })
    }

    /// Whether a sampler of that name looks at a ratio.
    pub(crate) fn has_ratio(name: &str) -> bool {
        NAMES.iter().any(|(known, _, share)| *known == name && share.is_none())
    }

    /// Whether a request of this trace is traced. The same trace is judged the same by everybody.
    pub(crate) fn samples(self, trace: [u8; 16], caller: Option<&TraceContext>) -> bool {
        if let Some(caller) = caller.filter(|_| self.by_parent) {
            return caller.sampled;
        }
        let [.., a, b, c, d, e, f, g, h] = trace;
        let drawn = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        self.share >= 1.0 || (drawn as f64) < self.share * (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(high: u8) -> [u8; 16] {
        let mut trace = [1; 16];
        trace[8] = high;
        trace
    }

    #[test]
    fn samplers_do_what_their_names_say() {
        let caller = |sampled| TraceContext { trace: trace(0), span: [1; 8], sampled, state: String::new() };
        let samples = |name: &str, high, caller: Option<&TraceContext>| {
            Sampler::named(name, 0.25).unwrap().samples(trace(high), caller)
        };
        for (name, low, high, sampled, not) in [
            ("always_on", true, true, true, true),
            ("always_off", false, false, false, false),
            ("traceidratio", true, false, true, true),
            ("parentbased_always_on", true, true, true, false),
            ("parentbased_always_off", false, false, true, false),
            ("parentbased_traceidratio", true, false, true, false),
        ] {
            let by_caller = [true, false].map(|sampled| samples(name, 0x10, Some(&caller(sampled))));
            let said = (samples(name, 0x10, None), samples(name, 0x80, None), by_caller[0], by_caller[1]);
            assert_eq!(said, (low, high, sampled, not), "{name}");
        }
        assert!(Sampler::named("jaeger_remote", 1.0).is_none());
        assert!(Sampler::has_ratio("traceidratio") && !Sampler::has_ratio("always_on"));
        let all = Sampler::named("traceidratio", 1.0).unwrap();
        assert!(all.samples([0xff; 16], None) && !Sampler::named("traceidratio", 0.0).unwrap().samples([0; 16], None));
    }
}
