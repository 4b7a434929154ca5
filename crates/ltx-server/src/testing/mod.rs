//! Faults that a node for tests makes when it is asked to, so that a client's every path can be tested against the real server: by
//! the section `testing` of the configuration, or by the header `ltxd-testing` of one call.
//!
//! Must not know what a call does. A node without `testing.enabled` has no [`Testing`], and answers a call with the header by an
//! error. What a run meets is `ltx-jobs`' own.

mod cut;
mod faults;
mod names;
mod settings;

pub(crate) use cut::Cut;
pub(crate) use faults::Faults;
pub use settings::TestingSettings;

use crate::app::Problem;
use faults::Asked;
use ltx_jobs::{ClientId, CurrentPolicy};
use ltx_types::FieldError;
use names::Name;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tonic::{Request, Status, metadata::MetadataMap};

/// The header of a call that asks for faults.
pub(crate) const HEADER: &str = "ltxd-testing";
/// Headers with `times` that a node counts.
const COUNTED: usize = 4096;

/// What a node for tests knows of faults.
#[derive(Debug)]
pub(crate) struct Testing {
    configured: Faults,
    /// Knows the remedies of its reasons.
    policy: CurrentPolicy,
    /// How often a client has sent a header that holds for some calls only.
    counts: Mutex<HashMap<(ClientId, String), u32>>,
}

impl Testing {
    /// Of a node with these faults for everybody.
    pub(crate) fn new(configured: Faults, policy: CurrentPolicy) -> Self {
        Self { configured, policy, counts: Mutex::default() }
    }

    /// The configured faults, as a header would say them.
    pub(crate) fn words(&self) -> Vec<String> {
        self.configured.words()
    }

    /// The names that a header may use.
    pub(crate) fn names() -> Vec<String> {
        Name::ALL.map(|name| name.as_str().to_owned()).to_vec()
    }

    /// What a call meets: what its header asks for over what is configured.
    fn faults(&self, client: &ClientId, header: Option<&str>) -> Result<Faults, Status> {
        let Some(header) = header else { return Ok(self.configured.clone()) };
        let Asked { faults, own, times } = Asked::of(header, &self.configured).map_err(Problem::from)?;
        if let Some(times) = times
            && !self.counts_in(client, header, times)?
        {
            return Ok(self.configured.clone());
        }
        own.at_once(&self.policy.for_new()).map(|()| faults)
    }

    /// Whether this is one of the first calls with a header.
    fn counts_in(&self, client: &ClientId, header: &str, times: u32) -> Result<bool, Problem> {
        let mut counts = self.counts.lock();
        let key = (client.clone(), header.to_owned());
        if counts.len() >= COUNTED && !counts.contains_key(&key) {
            let rule = format!(
                "is the header number {} with times; a node counts so many until it is started again",
                COUNTED + 1
            );
            return Err(FieldError::new(HEADER, header, rule).into());
        }
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
        Ok(*count <= times)
    }
}

/// Looks at a call's header before its body is read. On a node for tests the call's faults are put into its extensions, unless
/// one hits at once.
///
/// # Errors
/// The fault that was asked for; TESTING_NOT_ENABLED on any other node; INVALID_FIELD for what is no fault.
pub(crate) fn look(testing: Option<&Testing>, client: &ClientId, request: &mut Request<()>) -> Result<(), Status> {
    let header = header(request.metadata()).map_err(Problem::from)?;
    match (testing, header) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Problem::TestingNotEnabled.into()),
        (Some(testing), header) => {
            let faults = testing.faults(client, header.as_deref())?;
            request.extensions_mut().insert(Arc::new(faults));
            Ok(())
        }
    }
}

/// A call's faults; `None` on a node that makes none.
pub(crate) fn of<T>(request: &Request<T>) -> Option<Arc<Faults>> {
    request.extensions().get().cloned()
}

/// All the header's values, as one list.
fn header(metadata: &MetadataMap) -> Result<Option<String>, FieldError> {
    let values: Result<Vec<_>, _> = metadata.get_all(HEADER).iter().map(|value| value.to_str()).collect();
    let values = values.map_err(|_| FieldError::new(HEADER, "its value", "is not ASCII"))?;
    Ok((!values.is_empty()).then(|| values.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_testkit::fake::policy;

    fn client() -> ClientId {
        ClientId::new("a").unwrap()
    }

    #[test]
    fn a_header_goes_over_the_configuration_name_by_name() {
        let configured = Faults::of([("slow-steps-ms", "20"), ("cut-watch-after", "3")]).unwrap();
        let testing = Testing::new(configured, policy().into());
        let words = |header: Option<&str>| testing.faults(&client(), header).unwrap().words();
        assert_eq!(words(None), ["slow-steps-ms=20", "cut-watch-after=3"]);
        assert_eq!(words(Some("slow_steps_ms=5")), ["slow-steps-ms=5", "cut-watch-after=3"]);
        assert_eq!(words(Some("cut-watch-after=0")), ["slow-steps-ms=20"]);
        assert!(words(Some("none")).is_empty());
    }

    #[test]
    fn times_count_by_client_and_header() {
        let testing = Testing::new(Faults::default(), policy().into());
        let hit = |who: &str, header: &str| testing.faults(&ClientId::new(who).unwrap(), Some(header)).is_err();
        let header = "refuse=LOW_CREDITS, times=2, id=x";
        assert_eq!([1, 2, 3].map(|_| hit("a", header)), [true, true, false]);
        assert!(hit("b", header) && hit("a", "refuse=LOW_CREDITS, times=2, id=y"));
    }
}
