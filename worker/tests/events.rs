//! Scheduled runs and jobs in a worker, driven over its socket as the kernel drives it.

mod kernel;

use fazt_ipc::ids::RequestId;
use fazt_ipc::limits::PAYLOAD_BYTES_MAX;
use fazt_ipc::syscall::{Call, JobTime, NewJob};
use fazt_ipc::wire::kernel::{Event, EventKind, ModuleKind};
use fazt_ipc::wire::worker::Done;
use fazt_ipc::wire::{FailureKind, KernelKind, WorkerKind};
use kernel::{Answer, Kernel, Limits};

fn run(name: &'static str) -> Event<'static> {
    Event {
        id: RequestId::new(7, 7),
        kind: EventKind::Scheduled,
        name,
        cron: "0 8 * * *",
        job: "job_1",
        unix_ms: 1_700_000_000_123,
        attempt: 2,
    }
}

fn job() -> Event<'static> {
    Event { kind: EventKind::Queue, cron: "", ..run("mail") }
}

fn start(source: &str) -> Kernel {
    let mut kernel =
        Kernel::start(&[("server.js", ModuleKind::Script, source.as_bytes())], Limits::default());
    kernel.loaded().expect("the app loads");
    kernel
}

fn ask(source: &str, event: Event<'_>, payload: &str) -> Answer {
    let mut kernel = start(source);
    let stream = kernel.event(event, payload);
    let answer = kernel.answer(stream);
    assert!(kernel.end().is_ok());
    answer
}

fn said(answer: &Answer) -> Vec<&str> {
    answer.logs.iter().map(|(text, _)| text.as_str()).collect()
}

#[test]
fn a_scheduled_run_is_told_what_workers_are_told() {
    let answer = ask(
        "export default { async scheduled(event, env, ctx) {
           console.log(JSON.stringify([event, event.type, env.API_KEY, ctx.requestId.slice(0, 4), ctx.app.name]));
         } };",
        run("digest"),
        r#"{"a":[1,"ü"]}"#,
    );
    assert_eq!(
        said(&answer),
        [concat!(
            r#"[{"type":"scheduled","cron":"0 8 * * *","scheduledTime":1700000000123,"name":"digest","id":"job_1","#,
            r#""attempts":2,"payload":{"a":[1,"ü"]}},"scheduled","s3cret","req_","notes"]"#
        )]
    );
    assert_eq!(answer.done, Some(Done::default()));
}

#[test]
fn handlers_of_every_syntax_are_called() {
    for source in [
        "export default { scheduled(event) { console.log(event.name); } };",
        "export default class { constructor(ctx, env) { this.env = env; }
           scheduled(event) { console.log(event.name); } }",
        "import { WorkerEntrypoint } from 'cloudflare:workers';
         export default class extends WorkerEntrypoint {
           fetch() {} scheduled(event) { if (this.env.API_KEY) console.log(event.name); } }",
        "addEventListener('scheduled', (event) => {
           event.waitUntil((async () => { await 1; console.log(event.name); })()); });",
    ] {
        let answer = ask(source, run("digest"), "");
        assert_eq!((said(&answer), answer.done), (vec!["digest"], Some(Done::default())), "{source}");
    }
}

#[test]
fn a_run_is_over_when_what_it_waits_for_is_and_fails_with_it() {
    let answer = ask(
        "export default { scheduled(event, env, ctx) {
           ctx.waitUntil((async () => { await new Promise((r) => setTimeout(r, 20)); console.log('late'); })());
         } };",
        run("a"),
        "",
    );
    assert_eq!((said(&answer), answer.done), (vec!["late"], Some(Done::default())));
    let answer = ask(
        "export default { scheduled(event, env, ctx) { ctx.waitUntil(Promise.reject(new Error('later'))); } };",
        run("a"),
        "",
    );
    assert_eq!((answer.failed().message.as_str(), answer.done), ("Error: later", None));
}

#[test]
fn a_run_that_throws_fails_with_its_stack_and_may_forbid_another() {
    let answer = ask(
        "export default {\n scheduled(event) { event.noRetry(); throw new Error('no'); } };",
        run("a"),
        "",
    );
    let failure = answer.failed();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Exception, "Error: no"));
    assert!(failure.stack.contains("server.js:2"), "{}", failure.stack);
    assert!(answer.no_retry && answer.done.is_none());
    let answer = ask("export default { fetch() {} };", run("a"), "");
    assert!(answer.failed().message.contains("the app has no scheduled handler"));
}

#[test]
fn a_job_is_a_batch_of_one_message() {
    let answer = ask(
        "export default { async queue(batch, env, ctx) {
           for (const m of batch.messages) {
             console.log(JSON.stringify([batch.queue, m.id, m.timestamp, m.body, m.attempts]));
           }
         } };",
        job(),
        r#"{"to":"anna"}"#,
    );
    assert_eq!(said(&answer), [r#"["mail","job_1","2023-11-14T22:13:20.123Z",{"to":"anna"},2]"#]);
    assert_eq!(answer.done, Some(Done::default()));
}

#[test]
fn what_an_app_says_of_a_job_counts_and_the_first_word_stays() {
    let after = |delay_s| Some(Done { retry: true, delay_s });
    let done = Some(Done::default());
    for (body, expect) in [
        ("batch.messages[0].retry({ delaySeconds: 7 })", after(Some(7))),
        ("batch.messages[0].retry()", after(None)),
        ("batch.retryAll({ delaySeconds: -3 })", after(Some(0))),
        ("batch.retryAll({ delaySeconds: 'soon' })", after(None)),
        ("batch.messages[0].ack(); batch.messages[0].retry(); batch.retryAll()", done),
        ("batch.retryAll(); batch.messages[0].ack()", done),
        ("batch.ackAll(); throw new Error('afterwards')", done),
    ] {
        let source = format!("export default {{ async queue(batch) {{ {body}; }} }};");
        let answer = ask(&source, job(), "1");
        assert_eq!((answer.done, answer.failure), (expect, None), "{body}");
    }
    let answer = ask("export default { async queue() { throw new Error('x'); } };", job(), "1");
    assert_eq!(answer.failed().message, "Error: x");
}

#[test]
fn the_largest_payload_arrives_whole() {
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX - 2));
    let answer = ask(
        "export default { queue(batch) { console.log(batch.messages[0].body.length); } };",
        job(),
        &payload,
    );
    assert_eq!(said(&answer), [(PAYLOAD_BYTES_MAX - 2).to_string()]);
}

#[test]
fn a_run_that_never_ends_costs_its_budget() {
    let mut kernel = start("export default { scheduled() { for (;;); } };");
    let stream = kernel.event(run("a"), "");
    assert_eq!(kernel.answer(stream).failed().kind, FailureKind::CpuExceeded);
    assert!(kernel.ended().is_err());
}

#[test]
fn a_run_that_was_given_up_settles_without_a_word() {
    let mut kernel = start(
        "export default { async scheduled() { console.log('in'); await new Promise((r) => setTimeout(r, 50)); },
           fetch: () => new Response('there') };",
    );
    let stream = kernel.event(run("a"), "");
    assert_eq!(kernel.frame().kind, WorkerKind::Log);
    kernel.raw(KernelKind::Abort, stream, false, &[]);
    assert_eq!(kernel.frame().kind, WorkerKind::Settled);
    assert_eq!(kernel.get("/").text(), "there");
}

#[test]
fn calls_for_later_carry_what_the_app_gave() {
    let mut kernel = Kernel::app(
        "const quiet = (promise) => promise.catch((error) => error.name);
         export default { async fetch(request, env) {
           const all = await Promise.all([
             quiet(fazt.proc.schedule(new Date(5), { a: 1 })), quiet(fazt.proc.schedule(6.5)),
             quiet(fazt.proc.schedule({ inS: 1.5 }, [])), quiet(fazt.proc.enqueue('mail', 'hi', { delayS: 2 })),
             quiet(fazt.proc.enqueue('mail')), quiet(fazt.proc.cancel('job_1')), quiet(fazt.proc.list()),
             quiet(env.JOBS.send({ x: 1 }, { delaySeconds: 3 })),
             quiet(env.JOBS.sendBatch([{ body: 1 }, { body: 2, delaySeconds: 4 }], { delaySeconds: 9 })),
             quiet(env.JOBS.sendBatch([])),
             quiet(fazt.proc.schedule('soon')), quiet(fazt.proc.schedule({ inS: -1 })),
             quiet(fazt.proc.enqueue('mail', () => 1)), quiet(fazt.proc.enqueue('mail', 1, { delayS: 'x' })),
           ]);
           return Response.json(all);
         } };",
    );
    let answer = kernel.get("/");
    let denied = "\"PermissionDenied\",".repeat(9);
    assert_eq!(
        answer.text(),
        format!("[{denied}null,\"TypeError\",\"RangeError\",\"TypeError\",\"RangeError\"]")
    );
    let at = |unix_ms, in_ms| JobTime { unix_ms, in_ms };
    let job = |payload: &str, delay_ms| NewJob { payload: payload.into(), delay_ms };
    let enqueue = |queue: &str, jobs: &[NewJob], delay_ms| Call::ProcEnqueue {
        queue: queue.into(),
        jobs: jobs.to_vec(),
        delay_ms,
    };
    assert_eq!(
        answer.calls,
        [
            Call::ProcSchedule { when: at(Some(5), None), payload: Some(r#"{"a":1}"#.into()) },
            Call::ProcSchedule { when: at(Some(7), None), payload: None },
            Call::ProcSchedule { when: at(None, Some(1500)), payload: Some("[]".into()) },
            enqueue("mail", &[job("\"hi\"", Some(2000))], None),
            enqueue("mail", &[job("null", None)], None),
            Call::ProcCancel { id: "job_1".into() },
            Call::ProcList {},
            enqueue("JOBS", &[job(r#"{"x":1}"#, Some(3000))], None),
            enqueue("JOBS", &[job("1", None), job("2", Some(4000))], Some(9000)),
        ]
    );
}
