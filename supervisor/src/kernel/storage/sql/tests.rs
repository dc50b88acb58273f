//! The kernel's side against processes that are not what they should be: threads of this test stand in for them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use fazt_ipc::store::{Answer, EXIT_DAMAGED, EXIT_LATE, FILES, Outcome, READY, encode};

use super::*;

type Role = fn(&mut UnixStream);

/// Stands in for the launcher.
struct Standin {
    roles: Vec<Role>,
    made: AtomicUsize,
    ended: Ended,
    accused: Mutex<Vec<String>>,
}

impl Jails for Standin {
    fn store(&self, _: Tenant) -> BoxFuture<'static, Result<Jailed, String>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let role = self.roles[number.min(self.roles.len() - 1)];
        let ended = self.ended;
        Box::pin(async move {
            let (ours, mut theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
            ours.set_nonblocking(true).map_err(|error| error.to_string())?;
            let killer = theirs.try_clone().map_err(|error| error.to_string())?;
            let (tell, told) = oneshot::channel();
            std::thread::spawn(move || {
                role(&mut theirs);
                let _ = theirs.shutdown(std::net::Shutdown::Both);
                let _ = tell.send(ended);
            });
            Ok(Jailed {
                socket: ours,
                exited: told,
                kill: Box::new(move || {
                    let _ = killer.shutdown(std::net::Shutdown::Both);
                }),
            })
        })
    }

    fn compromised(&self, _: AppId, reason: &str) {
        lock(&self.accused).push(reason.to_owned());
    }
}

struct Stage {
    _folder: tempfile::TempDir,
    sql: Sql,
    jails: Arc<Standin>,
    app: AppId,
}

fn stage(roles: Vec<Role>, ended: Ended) -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = Sql::new(folder.path().to_owned(), Arc::default());
    let jails = Arc::new(Standin { roles, made: AtomicUsize::new(0), ended, accused: Mutex::default() });
    sql.jails(Arc::clone(&jails) as Arc<dyn Jails>);
    for app in [AppId::new(1, 1), AppId::new(2, 2)] {
        std::fs::create_dir(folder.path().join(app.to_string())).expect("an app's folder");
    }
    Stage { _folder: folder, sql, jails, app: AppId::new(1, 1) }
}

fn query(cpu_ms: u32) -> Query {
    let statements = vec![Statement { sql: "SELECT 1".into(), values: Vec::new() }];
    Query { read_only: false, form: Form::One, statements, cpu_ms, quota_bytes: 1 << 20 }
}

impl Stage {
    async fn ask(&self) -> Result<String, SqlError> {
        self.sql.call(self.app, Place::App, query(10), Box::new(())).await
    }

    fn accused(&self) -> Vec<String> {
        lock(&self.jails.accused).clone()
    }
}

fn begin(socket: &mut UnixStream) {
    socket.write_all(READY).expect("the kernel");
    // What rides along is dropped: this side has no use for it.
    let mut word = [0; FILES.len()];
    socket.read_exact(&mut word).expect("two files");
    assert_eq!(&word, FILES);
}

fn hear(socket: &mut UnixStream) -> bool {
    let mut head = [0; 4];
    if socket.read_exact(&mut head).is_err() {
        return false;
    }
    let mut request = vec![0; u32::from_le_bytes(head) as usize];
    socket.read_exact(&mut request).is_ok()
}

fn outcome(columns: Vec<&'static str>, count: u32, rows: &'static [u8]) -> Outcome<'static> {
    Outcome { columns, count, rows, statements: 1, bytes: 4096, ..Outcome::default() }
}

fn honest(socket: &mut UnixStream) {
    begin(socket);
    while hear(socket) {
        let answer = Answer::Done { outcomes: vec![outcome(vec!["a"], 1, &[0])], bytes: 4096 };
        socket.write_all(&encode(&answer, 1 << 20).expect("short")).expect("the kernel");
    }
}

#[tokio::test]
async fn one_process_answers_call_after_call() {
    let stage = stage(vec![honest], Ended::Code(0));
    for _ in 0..5 {
        let answer = stage.ask().await.expect("an answer");
        assert!(answer.starts_with(r#"[{"columns":["a"],"rows":[[null]]"#), "{answer}");
    }
    assert_eq!(stage.jails.made.load(Ordering::Relaxed), 1);
    assert_eq!(stage.sql.processes(), 1);
    assert!(stage.accused().is_empty());
    let folder = stage._folder.path().join(stage.app.to_string()).join("sql");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["app.db", "app.db-wal"]);
}

#[tokio::test]
async fn a_process_that_answers_nonsense_is_killed_accused_and_replaced() {
    let hostile: [(&str, Role); 7] = [
        ("a length over its bound", |socket| {
            begin(socket);
            hear(socket);
            let _ = socket.write_all(&[0xff; 64]);
            hear(socket);
        }),
        ("no answer", |socket| {
            begin(socket);
            hear(socket);
            let _ = socket.write_all(&[3, 0, 0, 0, 9, 9, 9]);
            hear(socket);
        }),
        ("a byte too many", |socket| {
            begin(socket);
            hear(socket);
            let mut bytes = encode(&Answer::Done { outcomes: vec![], bytes: 0 }, 64).expect("short");
            bytes[0] += 1;
            bytes.push(0);
            let _ = socket.write_all(&bytes);
            hear(socket);
        }),
        ("rows that are not there", |socket| {
            begin(socket);
            hear(socket);
            let answer = Answer::Done { outcomes: vec![outcome(vec!["a"], 9_999, &[0])], bytes: 0 };
            let _ = socket.write_all(&encode(&answer, 1 << 20).expect("short"));
            hear(socket);
        }),
        ("too many rows", |socket| {
            begin(socket);
            hear(socket);
            let answer = Answer::Done { outcomes: vec![outcome(vec!["a"], u32::MAX, &[0])], bytes: 0 };
            let _ = socket.write_all(&encode(&answer, 1 << 20).expect("short"));
            hear(socket);
        }),
        ("text that is none", |socket| {
            begin(socket);
            hear(socket);
            let answer =
                Answer::Done { outcomes: vec![outcome(vec!["a"], 1, &[3, 1, 0, 0, 0, 0xff])], bytes: 0 };
            let _ = socket.write_all(&encode(&answer, 1 << 20).expect("short"));
            hear(socket);
        }),
        ("a tag of no value", |socket| {
            begin(socket);
            hear(socket);
            let answer = Answer::Done { outcomes: vec![outcome(vec!["a"], 1, &[200])], bytes: 0 };
            let _ = socket.write_all(&encode(&answer, 1 << 20).expect("short"));
            hear(socket);
        }),
    ];
    for (why, role) in hostile {
        let stage = stage(vec![role, honest], Ended::Killed);
        let refused = stage.ask().await.expect_err(why);
        assert_eq!(refused.error.code, ErrorCode::Unavailable, "{why}");
        assert_eq!(stage.accused().len(), 1, "{why}");
        stage.ask().await.unwrap_or_else(|error| panic!("after {why}: {error:?}"));
        assert_eq!(stage.jails.made.load(Ordering::Relaxed), 2, "{why}");
    }
}

#[tokio::test]
async fn a_process_that_dies_is_told_by_how_it_died() {
    let dies: Role = |socket| {
        begin(socket);
        hear(socket);
    };
    for (ended, code, accused) in [
        (Ended::Forbidden, ErrorCode::Unavailable, 1),
        (Ended::Code(EXIT_LATE), ErrorCode::InvalidQuery, 0),
        (Ended::Code(EXIT_DAMAGED), ErrorCode::Unavailable, 0),
        (Ended::Memory, ErrorCode::TooLarge, 0),
        (Ended::Killed, ErrorCode::Unavailable, 0),
        (Ended::Code(1), ErrorCode::Unavailable, 0),
    ] {
        let stage = stage(vec![dies, honest], ended);
        assert_eq!(stage.ask().await.expect_err("dead").error.code, code, "{ended:?}");
        assert_eq!(stage.accused().len(), accused, "{ended:?}");
        stage.ask().await.expect("the next one");
    }
}

#[tokio::test]
async fn a_process_that_says_nothing_is_killed_at_its_deadline() {
    let silent: Role = |socket| {
        begin(socket);
        hear(socket);
        hear(socket);
    };
    let stage = stage(vec![silent, honest], Ended::Killed);
    assert_eq!(stage.ask().await.expect_err("late").error.code, ErrorCode::InvalidQuery);
    stage.ask().await.expect("the next one");
}

#[tokio::test]
async fn an_app_that_was_removed_does_not_come_back() {
    let stage = stage(vec![honest], Ended::Code(0));
    let gone = AppId::new(3, 3);
    assert!(stage.sql.call(gone, Place::App, query(10), Box::new(())).await.is_err());
    assert!(!stage._folder.path().join(gone.to_string()).exists());
}

#[tokio::test]
async fn files_make_room_for_each_other_and_an_app_that_goes_takes_its_processes_along() {
    let stage = stage(vec![honest], Ended::Code(0));
    for number in 0..APP_PROCESSES_MAX + 3 {
        let place = Place::Binding(format!("DB{number}"));
        stage.sql.call(stage.app, place, query(10), Box::new(())).await.expect("an answer");
        assert!(stage.sql.processes() <= APP_PROCESSES_MAX);
    }
    let other = AppId::new(2, 2);
    stage.sql.call(other, Place::App, query(10), Box::new(())).await.expect("an answer");
    stage.sql.close(stage.app);
    while stage.sql.processes() > 1 {
        tokio::task::yield_now().await;
    }
    stage.sql.call(other, Place::App, query(10), Box::new(())).await.expect("an answer");
}

/// Says how much is asked for, and lets it be when it is told to.
struct Gate {
    asked: Arc<Mutex<Vec<usize>>>,
    open: Arc<Semaphore>,
}

impl Room for Gate {
    fn make(&mut self, bytes: usize) -> BoxFuture<'_, ()> {
        lock(&self.asked).push(bytes);
        Box::pin(async {
            let _ = self.open.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        })
    }
}

const LONG: usize = 3 << 20;

fn long(socket: &mut UnixStream) {
    begin(socket);
    while hear(socket) {
        let mut rows = Vec::new();
        fazt_ipc::store::Cell::Blob(&vec![7; LONG]).put(&mut rows);
        let outcome = Outcome { columns: vec!["a"], count: 1, rows: &rows, ..Outcome::default() };
        let answer = Answer::Done { outcomes: vec![outcome], bytes: 4096 };
        // Nobody may take it.
        let _ = socket.write_all(&encode(&answer, 8 << 20).expect("short"));
    }
}

#[tokio::test]
async fn a_long_answer_stays_where_it_is_until_there_is_room_and_holds_nobody_up() {
    let stage = Arc::new(stage(vec![long], Ended::Code(0)));
    let (asked, open) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let ask = |number: usize| {
        let gate = Gate { asked: Arc::clone(&asked), open: Arc::clone(&open) };
        let stage = Arc::clone(&stage);
        let place = Place::Binding(format!("DB{number}"));
        tokio::spawn(async move { stage.sql.call(stage.app, place, query(10), Box::new(gate)).await })
    };
    // More than may run at once: those that wait have given their turn to the next.
    let waiting: Vec<_> = (0..APP_TURNS_MAX + 2).map(ask).collect();
    while lock(&asked).len() < waiting.len() {
        tokio::task::yield_now().await;
    }
    assert!(lock(&asked).iter().all(|&bytes| bytes > LONG + LONG / 3 * 4), "with its JSON: {asked:?}");
    open.add_permits(waiting.len());
    for answer in waiting {
        let answer = answer.await.expect("a task").expect("an answer");
        assert!(answer.len() > LONG / 3 * 4 && answer.len() <= json::held_bytes(LONG) - LONG);
    }
}

#[tokio::test]
async fn a_long_answer_for_which_there_is_no_memory_is_thrown_away_and_the_process_lives() {
    let stage = stage(vec![long], Ended::Code(0));
    let gate = Gate { asked: Arc::default(), open: Arc::new(Semaphore::new(0)) };
    let refused =
        stage.sql.call(stage.app, Place::App, query(10), Box::new(gate)).await.expect_err("no room");
    assert_eq!(refused.error.code, ErrorCode::Unavailable);
    assert!(refused.error.message.contains("memory"), "{refused:?}");
    assert!(stage.ask().await.is_ok());
    assert_eq!((stage.jails.made.load(Ordering::Relaxed), stage.accused().len()), (1, 0));
}

#[tokio::test]
async fn a_reader_has_a_process_of_its_own_whose_descriptors_cannot_write() {
    fn access(socket: &mut UnixStream) {
        socket.write_all(READY).expect("the kernel");
        let mut word = [0; FILES.len()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let flags = rustix::net::RecvFlags::empty();
        rustix::net::recvmsg(&*socket, &mut [std::io::IoSliceMut::new(&mut word)], &mut control, flags)
            .expect("two files");
        let mut modes = 0;
        for message in control.drain() {
            let rustix::net::RecvAncillaryMessage::ScmRights(fds) = message else { continue };
            for fd in fds {
                let mode = rustix::fs::fcntl_getfl(&fd).expect("flags") & rustix::fs::OFlags::RWMODE;
                modes += i64::from(mode == rustix::fs::OFlags::RDWR) + 1;
            }
        }
        while hear(socket) {
            let mut rows = Vec::new();
            fazt_ipc::store::Cell::Integer(modes).put(&mut rows);
            let outcome = Outcome { columns: vec!["a"], count: 1, rows: &rows, ..Outcome::default() };
            let answer = Answer::Done { outcomes: vec![outcome], bytes: 4096 };
            socket.write_all(&encode(&answer, 1 << 20).expect("short")).expect("the kernel");
        }
    }
    let stage = stage(vec![access], Ended::Code(0));
    for round in 0..2 {
        for (read_only, modes) in [(true, 2), (false, 4)] {
            let query = Query { read_only, ..query(10) };
            let said = stage.sql.call(stage.app, Place::App, query, Box::new(())).await.expect("an answer");
            assert!(said.contains(&format!("[[{modes}]]")), "round {round}: {said}");
        }
        assert_eq!(stage.jails.made.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_copy_is_of_a_file_that_nobody_has_open_and_no_name_leads_to_it() {
    let stage = stage(vec![honest], Ended::Code(0));
    assert!(stage.sql.copy(stage.app, Place::App).await.expect("nothing wrong").is_none());
    stage.ask().await.expect("an answer");
    let folder = stage._folder.path().join(stage.app.to_string()).join("sql");
    std::fs::write(folder.join("app.db-wal"), b"left behind").expect("a WAL");
    let copied = stage.sql.copy(stage.app, Place::App).await.expect("a copy").expect("a file");
    assert_eq!(stage.sql.processes(), 0);
    let read = |mut file: std::fs::File| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("its bytes");
        bytes
    };
    assert_eq!(read(copied.database), std::fs::read(folder.join("app.db")).expect("the file"));
    assert_eq!(read(copied.wal.expect("a WAL that no process moved")), b"left behind");
    let names = std::fs::read_dir(&folder).expect("folder").count();
    assert_eq!(names, 2);
    assert_eq!(stage.sql.files(stage.app), [Place::App]);
    stage.ask().await.expect("an answer");
}
