//! The policy of the moment: one cell for the whole node, asked by whoever judges a request.
//!
//! Must not know what a policy says.

use ltx_policy::PolicyConfig;
use std::sync::Arc;
use tokio::sync::watch::Sender;

/// The policy that requests are judged by now. Clones are the same cell.
#[derive(Debug, Clone)]
pub struct CurrentPolicy(Sender<Policies>);

#[derive(Debug)]
struct Policies {
    for_new: Arc<PolicyConfig>,
    for_stored: Arc<PolicyConfig>,
}

impl Policies {
    fn same(policy: PolicyConfig) -> Self {
        let policy = Arc::new(policy);
        Self { for_new: Arc::clone(&policy), for_stored: policy }
    }
}

impl CurrentPolicy {
    /// Judges new and stored requests by one policy.
    pub fn new(policy: PolicyConfig) -> Self {
        Self(Sender::new(Policies::same(policy)))
    }

    /// Judges stored requests by a policy whose models are being loaded: they wait for their model anyway. New requests are
    /// told until [`set`](Self::set) that no model is loaded.
    pub fn while_loading(policy: PolicyConfig) -> Self {
        let for_new = Arc::new(policy.clone().with_loaded([]));
        Self(Sender::new(Policies { for_new, for_stored: Arc::new(policy) }))
    }

    /// From now on new requests are judged by this policy, and stored ones when they run.
    pub fn set(&self, policy: PolicyConfig) {
        self.0.send_replace(Policies::same(policy));
    }

    /// The policy that a request is judged by when it comes in.
    pub fn for_new(&self) -> Arc<PolicyConfig> {
        Arc::clone(&self.0.borrow().for_new)
    }

    /// The policy that a stored request is judged by when it runs.
    pub(crate) fn for_stored(&self) -> Arc<PolicyConfig> {
        Arc::clone(&self.0.borrow().for_stored)
    }

    /// Waits until new requests are judged by another policy than `known`; at once where they already are.
    pub async fn differs_from(&self, known: &Arc<PolicyConfig>) {
        // The sender is part of `self`, so it is there as long as this waits.
        let _ = self.0.subscribe().wait_for(|policies| !Arc::ptr_eq(&policies.for_new, known)).await;
    }
}

impl From<PolicyConfig> for CurrentPolicy {
    fn from(policy: PolicyConfig) -> Self {
        Self::new(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_policy::ModelNames;
    use std::time::Duration;

    fn serving(model: &str) -> PolicyConfig {
        PolicyConfig::new(ModelNames::new(vec![], [])).with_loaded([model.to_owned()])
    }

    #[test]
    fn a_node_that_loads_judges_what_is_stored_by_what_it_will_serve() {
        let policy = CurrentPolicy::while_loading(serving("a"));
        assert_eq!((policy.for_new().loaded().len(), policy.for_stored().loaded()), (0, vec!["a"]));
        policy.clone().set(serving("b"));
        assert_eq!((policy.for_new().loaded(), policy.for_stored().loaded()), (vec!["b"], vec!["b"]));
    }

    #[tokio::test]
    async fn a_change_is_not_missed_whenever_it_comes() {
        let policy = CurrentPolicy::new(serving("a"));
        let known = policy.for_new();
        let unchanged = tokio::time::timeout(Duration::from_millis(20), policy.differs_from(&known)).await;
        assert!(unchanged.is_err());
        let told = {
            let policy = policy.clone();
            let known = Arc::clone(&known);
            tokio::spawn(async move { policy.differs_from(&known).await })
        };
        while policy.0.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        policy.set(serving("b"));
        told.await.unwrap();
        policy.differs_from(&known).await;
    }
}
