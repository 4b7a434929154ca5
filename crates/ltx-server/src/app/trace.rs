//! A traced request from its coming to its answer, for whoever traces.
//!
//! Must not know a face. Where nobody traces there is none.

use ltx_jobs::{ClientId, GenerationId, TraceContext, TracedRequest, Tracer};
use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// A request that is traced. It is told once: when it is answered, or when nobody waits for the answer any more.
pub(crate) struct RequestTrace {
    tracer: Arc<dyn Tracer>,
    context: TraceContext,
    caller: Option<TraceContext>,
    call: &'static str,
    client: ClientId,
    began: SystemTime,
    judged: OnceLock<SystemTime>,
    answer: OnceLock<Answer>,
}

/// How it was answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The protocol's code.
    pub(crate) code: Option<i32>,
    /// The reason of a refusal or an error.
    pub(crate) reason: Option<String>,
    /// What it made.
    pub(crate) generations: Vec<GenerationId>,
    /// Whether it had come before.
    pub(crate) existed: bool,
}

impl RequestTrace {
    /// A request begins, whose caller says this of its own trace. `None` where it is not traced.
    pub(crate) fn begin(
        tracer: &Arc<dyn Tracer>,
        call: &'static str,
        client: &ClientId,
        caller: Option<TraceContext>,
    ) -> Option<Arc<Self>> {
        let context = tracer.begin(caller.as_ref())?;
        Some(Arc::new(Self {
            tracer: Arc::clone(tracer),
            context,
            caller,
            call,
            client: client.clone(),
            began: SystemTime::now(),
            judged: OnceLock::new(),
            answer: OnceLock::new(),
        }))
    }

    /// What its generations keep of it.
    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Policy and fields let it through.
    pub(crate) fn is_judged(&self) {
        self.judged.get_or_init(SystemTime::now);
    }

    /// It is answered.
    pub(crate) fn answered(&self, answer: Answer) {
        self.answer.get_or_init(|| answer);
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        let Answer { code, reason, generations, existed } = self.answer.take().unwrap_or_default();
        self.tracer.answered(&TracedRequest {
            context: &self.context,
            caller: self.caller.as_ref(),
            call: self.call,
            client: self.client.as_str(),
            began: self.began,
            judged: self.judged.get().copied(),
            code,
            reason: reason.as_deref(),
            generations: &generations,
            existed,
        });
    }
}
