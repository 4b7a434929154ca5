//! Generations of a queue that is traced, at a collector on loopback.

mod common;

use common::{collector, jobs, traces};
use ltx_jobs::{GenerationId, Jobs, State, Submission, TraceContext, TracedRequest, Tracer};
use ltx_testkit::fake::{FakeOptions, Gate, LONG, client, draft, ended, submission};
use ltx_traces::Traces;
use ltx_types::Stage;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::{net::TcpListener, sync::Arc, time::SystemTime};

/// A span that a caller says it is in.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn submit(jobs: &Jobs, prompt: &str, context: &TraceContext) -> GenerationId {
    let submission = Submission { trace: Some(context.clone()), ..submission(draft(prompt, 1), None) };
    jobs.submit(&client("a"), submission).unwrap().record.id
}

fn answered(traces: &Traces, context: &TraceContext, generations: &[GenerationId]) {
    traces.answered(&TracedRequest {
        context,
        caller: None,
        call: "package.Service/Call",
        client: "a",
        began: SystemTime::now(),
        judged: None,
        code: Some(0),
        reason: None,
        generations,
        existed: false,
    });
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn said(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    format!("{:?}", found.and_then(|found| found.value.clone()).and_then(|value| value.value))
}

#[test]
fn what_happens_to_a_generation_is_one_tree_with_no_word_of_its_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let (address, collected) = collector(200);
    let traces = traces(&address);
    let queue = jobs(folder.path(), FakeOptions::default(), &traces);
    let caller = TraceContext::read(CALLER, "").unwrap();
    let context = traces.begin(Some(&caller)).unwrap();
    assert_eq!(context.trace, caller.trace);
    let done = submit(&queue, "nobody else may read this", &context);
    assert_eq!(ended(&queue, "a", done).state, State::Done);
    let failed = submit(&queue, "fail", &context);
    assert_eq!(ended(&queue, "a", failed).state, State::Failed);
    answered(&traces, &context, &[done, failed]);
    assert!(traces.end(LONG));
    let spans = collected.spans();
    assert!(spans.iter().all(|span| span.trace_id == context.trace && !format!("{span:?}").contains("nobody else")));
    let (generations, attempts) = (named(&spans, "generation"), named(&spans, "attempt"));
    assert_eq!((generations.len(), attempts.len(), named(&spans, "queue").len()), (2, 2, 2));
    assert!(generations.iter().all(|span| span.parent_span_id == context.span));
    let ends: Vec<_> = generations.iter().map(|span| said(span, "ltxd.end")).collect();
    assert!(ends[0].contains("done") && ends[1].contains("failed"), "{ends:?}");
    assert!(attempts.iter().zip(&generations).all(|(attempt, above)| attempt.parent_span_id == above.span_id));
    let denoising = named(&spans, "denoising");
    assert_eq!(denoising[0].parent_span_id, attempts[0].span_id);
    assert!(!denoising[0].events.is_empty() && !named(&spans, "save_latent").is_empty());
    assert_eq!(named(&spans, "package.Service/Call")[0].span_id, context.span);
    assert_eq!(traces.counts().sent, spans.len() as u64);
}

#[test]
fn a_stop_ends_an_attempt_and_the_next_one_goes_on_in_the_same_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (address, collected) = collector(200);
    let gate = Gate::default();
    let held = FakeOptions { gate: gate.clone(), ..FakeOptions::default() };
    let first = traces(&address);
    let queue = jobs(folder.path(), held, &first);
    gate.close();
    let context = first.begin(None).unwrap();
    let id = submit(&queue, "a lake", &context);
    gate.bring_to(1, Stage::Denoising, 2);
    assert!(queue.shutdown(LONG));
    drop(queue);
    assert!(first.end(LONG));
    let second = traces(&address);
    let queue = jobs(folder.path(), FakeOptions::default(), &second);
    assert_eq!(ended(&queue, "a", id).state, State::Done);
    assert!(second.end(LONG));
    let spans = collected.spans();
    let attempts = named(&spans, "attempt");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert!(attempts.iter().all(|span| span.trace_id == context.trace));
    assert_eq!(attempts[0].parent_span_id, attempts[1].parent_span_id);
    assert!(said(attempts[0], "ltxd.end").contains("stopped") && said(attempts[1], "ltxd.resumed").contains("true"));
    assert_eq!(attempts[1].parent_span_id, named(&spans, "generation")[0].span_id);
}

#[test]
fn a_collector_that_is_away_costs_counted_spans_and_no_generation() {
    let folder = tempfile::tempdir().unwrap();
    let traces = traces("http://127.0.0.1:1");
    let queue = jobs(folder.path(), FakeOptions::default(), &traces);
    let context = traces.begin(None).unwrap();
    let id = submit(&queue, "a lake", &context);
    assert_eq!(ended(&queue, "a", id).state, State::Done);
    assert!(traces.end(LONG), "its end is not waited for: nobody is there");
    let counts = traces.counts();
    assert!(counts.sent == 0 && counts.dropped > 0, "{counts:?}");
}

#[test]
fn what_a_collector_refuses_for_good_is_dropped_at_once() {
    let (address, _) = collector(400);
    let traces = traces(&address);
    let context = traces.begin(None).unwrap();
    answered(&traces, &context, &[]);
    assert!(traces.end(LONG));
    assert_eq!((traces.counts().sent, traces.counts().dropped), (0, 1));
}

#[test]
fn no_more_than_a_bounded_number_of_spans_waits() {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let traces = traces(&format!("http://{}", silent.local_addr().unwrap()));
    let context = traces.begin(None).unwrap();
    let (made, waiting, under_way) = (10_000_u64, 4096, 512);
    (0..made).for_each(|_| answered(&traces, &context, &[]));
    assert!(traces.counts().dropped >= made - waiting - under_way, "{:?}", traces.counts());
}

#[test]
fn a_caller_that_records_nothing_is_obeyed() {
    let (address, _) = collector(200);
    let traces = Arc::clone(&traces(&address));
    let caller = TraceContext::read(&CALLER.replace("-01", "-00"), "").unwrap();
    assert!(traces.begin(Some(&caller)).is_none());
    let [one, two] = [traces.begin(None).unwrap(), traces.begin(None).unwrap()];
    assert!(one.trace != two.trace && one.span != two.span);
}
