//! What goes wrong, and what must not change when it does.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use fazt_ipc::control::OriginInfo;
use fazt_ipc::ids::{AppId, UserId};

use super::*;
use crate::kernel::security::{Actor, Principal};
use crate::kernel::storage::StorageError;
use crate::kernel::storage::data::{KvCall, KvKind, Request, Response, SpaceName};

fn page(text: &str) -> Tree {
    tree(&[("index.html", text), ("server.js", "export default {}")])
}

fn folder(data: &Path, app: AppId) -> PathBuf {
    data.join("apps").join(app.to_string())
}

fn waiting(data: &Path) -> usize {
    fs::read_dir(data.join("apps/.deploys")).expect("there").count()
}

#[tokio::test]
async fn a_deploy_that_fails_changes_nothing_and_can_be_tried_again() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let before = deploy(&fs, "a", &page("one")).await.expect("deploys");
    builder.broken.store(true, Ordering::Relaxed);
    let mut two = page("two");
    two.insert("lib.ts".into(), b"export const x: number = 2".to_vec());
    let ticket = upload(&fs, "a", &two).await.expect("uploads");
    let fresh = upload(&fs, "fresh", &two).await.expect("uploads");
    assert!(matches!(fs.commit(&ticket, Said::default()).await, Err(FsError::Build(_))));
    assert!(matches!(fs.commit(&fresh, Said::default()).await, Err(FsError::Build(_))));
    assert_eq!(read_back(&fs, "a").await, page("one"));
    assert_eq!(fs.versions("a").await.expect("versions"), [before.version]);
    assert_eq!((fs.route("fresh"), fs.count()), (None, 1));
    let folders = fs::read_dir(data.path().join("apps")).expect("there").count();
    assert_eq!(folders, 2, "the app and the open deploys");
    builder.broken.store(false, Ordering::Relaxed);
    fs.commit(&ticket, Said::default()).await.expect("the deploy stayed open");
    fs.commit(&fresh, Said::default()).await.expect("the deploy stayed open");
    assert_eq!(read_back(&fs, "a").await, two);
    assert_eq!(waiting(data.path()), 0);
}

#[tokio::test]
async fn a_full_disk_refuses_the_deploy_and_reading_goes_on() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let options = FsOptions { cartridge_bytes_max: 512 * 1024, ..FsOptions::default() };
    let fs = open_with(data.path(), &builder, options).await;
    deploy(&fs, "a", &page("one")).await.expect("deploys");
    let mut large = page("two");
    let noise: Vec<u8> = (0..1_000_000).map(|_| rand::random()).collect();
    large.insert("public/noise.bin".into(), noise);
    for name in ["a", "fresh"] {
        let error = deploy(&fs, name, &large).await.expect_err("no room");
        assert!(matches!(error, FsError::Storage(StorageError::Full(_))), "{error}");
    }
    assert_eq!(fs.route("fresh"), None);
    assert_eq!(read_back(&fs, "a").await, page("one"));
    let app = fs.route("a").expect("routes");
    fs.verify(app).await.expect("nothing is damaged");
    deploy(&fs, "a", &page("three")).await.expect("what fits still deploys");
    assert_eq!(read_back(&fs, "a").await, page("three"));
}

/// Copies a data folder but what is shared memory.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&to).expect("a folder");
            copy(&path, &to);
        } else if !path.to_string_lossy().ends_with("-shm") {
            fs::copy(&path, &to).expect("copies");
        }
    }
}

/// Does something on a disk that fails: no sync of this thread succeeds, nor of those that it starts.
fn where_syncs_fail<T: Send>(what: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            crate::sys::syncs_fail_here().expect("a filter");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(what())
        });
        thread.join().expect("no panic")
    })
}

#[tokio::test]
async fn a_deploy_that_the_disk_does_not_take_fails_and_the_old_version_stays() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    deploy(&fs, "a", &page("one")).await.expect("deploys");
    let app = deploy(&fs, "a", &page("two")).await.expect("deploys").app.id;
    let ticket = upload(&fs, "a", &page("three")).await.expect("uploads");
    let failed = |error: FsError| {
        let FsError::Storage(error @ StorageError::Disk { .. }) = &error else { panic!("{error}") };
        assert!(error.hint().contains("nothing was changed"), "{error}: {}", error.hint());
    };
    for _ in 0..2 {
        failed(
            where_syncs_fail(async || fs.commit(&ticket, Said::default()).await)
                .expect_err("not on the disk"),
        );
        failed(where_syncs_fail(async || fs.rollback("a", Some(1)).await).expect_err("nor this"));
        assert_eq!(read_back(&fs, "a").await, page("two"), "the old version is live");
    }
    // As after a crash: what is in the files, without what the processes know of them.
    let after = tempfile::tempdir().expect("folder");
    copy(data.path(), after.path());
    let again = open(after.path(), &builder).await;
    assert_eq!(read_back(&again, "a").await, page("two"), "what failed does not come back");
    // The disk works again.
    assert_eq!(fs.commit(&ticket, Said::default()).await.expect("deploys").version.number, 3);
    assert_eq!(read_back(&fs, "a").await, page("three"));
    assert_eq!(fs.rollback("a", Some(1)).await.expect("goes back").number, 1);
    fs.verify(app).await.expect("nothing is damaged");
}

/// Copies the data folder in the middle of a trial: what a crash would leave.
struct Crash {
    data: PathBuf,
    left: PathBuf,
}

impl Trial for Crash {
    fn start(&self, _: Arc<Release>) -> BoxFuture<'static, Result<(), String>> {
        copy(&self.data, &self.left);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn an_update_that_a_crash_interrupts_while_it_is_tried_did_not_happen() {
    let (data, left) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    deploy(&fs, "a", &page("one")).await.expect("deploys");
    fs.try_with(Arc::new(Crash { data: data.path().into(), left: left.path().into() }));
    let ticket = upload(&fs, "a", &page("two")).await.expect("uploads");
    let origin = OriginInfo {
        source: "git.example/ada/a".into(),
        url: "https://git.example/ada/a".into(),
        reference: "refs/heads/main".into(),
        folder: String::new(),
        commit: "1".repeat(40),
        tree: "2".repeat(40),
        committed_unix_s: 1,
    };
    let source = crate::kernel::fs::deploy::Source {
        origin,
        update: true,
        warnings: Vec::new(),
        migrations: Vec::new(),
    };
    lock(&fs.deploys).get(&ticket).expect("open").source = Some(Arc::new(source));
    fs.commit(&ticket, Said::default()).await.expect("updates");
    assert_eq!(read_back(&fs, "a").await, page("two"));
    let again = open(left.path(), &builder).await;
    assert_eq!(read_back(&again, "a").await, page("one"), "the version before is live");
    // Without the crash it stays, whatever starts later.
    drop(fs);
    let after = tempfile::tempdir().expect("folder");
    copy(data.path(), after.path());
    let later = open(after.path(), &builder).await;
    assert_eq!(read_back(&later, "a").await, page("two"));
}

#[tokio::test]
async fn a_damaged_cartridge_is_its_own_app_s_trouble_alone() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 4] = [
        ("gone", |path| fs::remove_file(path).expect("removes")),
        ("empty folder", |path| fs::remove_dir_all(path.parent().expect("folder")).expect("removes")),
        ("no database", |path| fs::write(path, vec![b'x'; 8192]).expect("writes")),
        ("overwritten pages", |path| {
            let mut file = fs::OpenOptions::new().write(true).open(path).expect("opens");
            file.seek(SeekFrom::Start(4096)).expect("seeks");
            file.write_all(&[0xa5; 64 * 1024]).expect("writes");
        }),
    ];
    for (what, harm) in damage {
        let data = tempfile::tempdir().expect("folder");
        let builder = FakeBuilder::new();
        let fs = open(data.path(), &builder).await;
        let bad = deploy(&fs, "bad", &page("bad")).await.expect("deploys").app.id;
        deploy(&fs, "good", &page("good")).await.expect("deploys");
        drop(fs);
        harm(&folder(data.path(), bad).join("app.fazt"));
        let fs = open(data.path(), &builder).await;
        assert_eq!(read_back(&fs, "good").await, page("good"), "{what}");
        let error = fs.release(bad).await.err().expect(what);
        assert!(matches!(error, FsError::Storage(StorageError::Corrupt { .. })), "{what}: {error}");
        assert!(error.to_string().contains("app.fazt"), "{what}: {error}");
        let apps = fs.apps().await.expect("lists");
        assert_eq!(apps.iter().map(|app| app.damaged.is_some()).collect::<Vec<_>>(), [true, false], "{what}");
        assert!(
            deploy(&fs, "bad", &page("two")).await.is_err(),
            "{what}: nothing is written over what may be saved"
        );
        fs.remove("bad", false).await.expect(what);
        deploy(&fs, "bad", &page("again")).await.expect(what);
        assert_eq!(read_back(&fs, "bad").await, page("again"), "{what}");
    }
}

#[tokio::test]
async fn a_content_that_rotted_is_not_served() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let app = deploy(&fs, "a", &page("a needle in the haystack")).await.expect("deploys").app.id;
    drop(fs);
    let path = folder(data.path(), app).join("app.fazt");
    let mut bytes = fs::read(&path).expect("reads");
    let at = bytes.windows(6).position(|window| window == b"needle").expect("stored as it is");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("writes");
    let fs = open(data.path(), &builder).await;
    let release = fs.release(app).await.expect("the index is sound");
    let file = release.deployed("index.html").await.expect("listed");
    let error = release.content(&file, Encoding::Identity).await.expect_err("rotten");
    assert!(matches!(error, FsError::Storage(StorageError::Corrupt { .. })), "{error}");
}

#[tokio::test]
async fn interrupted_steps_are_finished_at_the_next_start() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let stays = deploy(&fs, "stays", &page("stays")).await.expect("deploys").app.id;
    let ticket = upload(&fs, "stays", &page("never committed")).await.expect("uploads");
    assert_eq!(waiting(data.path()), 1);
    // A removal that got no further than its mark; a creation that did not reach kernel.db; a folder of
    // somebody's.
    fs.shared.storage.mark(stays).expect("marks");
    let half = AppId::new(1, 1);
    fs.shared.storage.make_folder(half).expect("makes");
    fs::write(folder(data.path(), half).join("app.fazt"), "half").expect("writes");
    let foreign = AppId::new(2, 2);
    fs::create_dir(folder(data.path(), foreign)).expect("makes");
    fs::write(folder(data.path(), foreign).join("app.fazt"), "somebody's").expect("writes");
    drop(fs);
    let fs = open(data.path(), &builder).await;
    assert_eq!(read_back(&fs, "stays").await, page("stays"));
    assert!(!folder(data.path(), stays).join(".unfinished").exists());
    assert!(!folder(data.path(), half).exists(), "half an app");
    assert!(folder(data.path(), foreign).exists(), "not ours to delete");
    assert_eq!(waiting(data.path()), 0);
    assert!(matches!(fs.commit(&ticket, Said::default()).await, Err(FsError::NoDeploy(_))));
}

#[tokio::test]
async fn deploys_of_one_app_at_the_same_time_take_turns() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let trees: Vec<_> = (0..6).map(|number| page(&format!("page {number}"))).collect();
    let deploys = trees.iter().map(|tree| deploy(&fs, "a", tree));
    let done = futures_util::future::join_all(deploys).await;
    let mut numbers: Vec<_> = done.into_iter().map(|one| one.expect("deploys").version.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(fs.count(), 1);
    assert!(trees.contains(&read_back(&fs, "a").await));
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_still_ends_well() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let ticket = upload(&fs, "a", &page("one")).await.expect("uploads");
    let mut changes = fs.changes();
    let commit = fs.commit(&ticket, Said::default());
    assert!(commit.now_or_never().is_none(), "it takes a while; the caller goes away");
    assert!(matches!(fs.abort(&ticket).await, Err(FsError::Overtaken(_))), "too late");
    changes.recv().await.expect("it went live");
    assert_eq!(read_back(&fs, "a").await, page("one"));
}

#[tokio::test]
async fn a_plan_that_was_overtaken_is_told_so() {
    let data = tempfile::tempdir().expect("folder");
    let options = FsOptions { versions_kept: 1, ..FsOptions::default() };
    let fs = open_with(data.path(), &FakeBuilder::new(), options).await;
    deploy(&fs, "a", &page("one")).await.expect("deploys");
    let mut mixed = page("one");
    mixed.insert("x.txt".into(), b"x".to_vec());
    let ticket = upload(&fs, "a", &mixed).await.expect("uploads");
    deploy(&fs, "a", &page("two")).await.expect("deploys, and prunes what the plan counted on");
    let error = fs.commit(&ticket, Said::default()).await.expect_err("overtaken");
    let problem = fazt_ipc::control::Problem::from(error);
    assert_eq!(problem.code, fazt_ipc::control::ErrorKind::Conflict);
    assert!(problem.hint.contains("fazt app deploy"), "{problem:?}");
    assert_eq!(read_back(&fs, "a").await, page("two"));
}

#[tokio::test]
async fn deploys_that_nobody_goes_on_with_are_thrown_away() {
    let data = tempfile::tempdir().expect("folder");
    let options = FsOptions { deploy_idle_s_max: 0, ..FsOptions::default() };
    let fs = open_with(data.path(), &FakeBuilder::new(), options).await;
    let idle = upload(&fs, "a", &page("one")).await.expect("uploads");
    fs.drop_idle_deploys().await;
    assert!(matches!(fs.commit(&idle, Said::default()).await, Err(FsError::NoDeploy(_))));
    assert_eq!(waiting(data.path()), 0);
    let open = upload(&fs, "a", &page("one")).await.expect("uploads");
    fs.abort(&open).await.expect("aborts");
    assert_eq!(waiting(data.path()), 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing_behind() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let large = vec![b'x'; 600_000];
    let files = Tree::from([("index.html".to_owned(), large.clone())]);
    let ticket = fs.plan("a", plan_of(&files)).await.expect("plan");
    let broken = stream::iter([
        Ok(Bytes::copy_from_slice(&large[..400_000])),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    assert!(matches!(fs.put(&ticket.id, &ticket.missing[0], broken.boxed()).await, Err(FsError::Io { .. })));
    let left = fs::read_dir(data.path().join("apps/.deploys").join(&ticket.id)).expect("open").count();
    assert_eq!(left, 0);
    assert!(fs.commit(&ticket.id, Said::default()).await.is_err());
}

/// Where the file system of some megabytes is, in the process that has one.
const SMALL_DISK: &str = "FAZT_TEST_SMALL_DISK";

#[test]
fn a_sleeping_app_wakes_on_a_full_disk() {
    let disk = tempfile::tempdir().expect("folder");
    // A mount of its own in a namespace of its own, gone with the process; root needs no user namespace.
    let script = r#"mount -t tmpfs -o size=24m none "$FAZT_TEST_SMALL_DISK" && exec "$0" --exact --nocapture kernel::fs::tests::faults::on_a_small_disk"#;
    let program = std::env::current_exe().expect("this program");
    let ran = ["--mount", "--mount --user --map-root-user"].into_iter().find_map(|namespaces| {
        let output = std::process::Command::new("unshare")
            .args(namespaces.split(' '))
            .args(["sh", "-c", script])
            .arg(&program)
            .env(SMALL_DISK, disk.path())
            .output()
            .ok()?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        text.contains("running 1 test").then_some((output.status.success(), text))
    });
    match ran {
        Some((passed, text)) => assert!(passed, "{text}"),
        None => eprintln!("not tried: this machine lets nobody mount a small file system"),
    }
}

/// Not a test by itself: what the test above starts on the small file system.
#[tokio::test]
async fn on_a_small_disk() {
    let Some(data) = std::env::var_os(SMALL_DISK) else { return };
    let data = Path::new(&data);
    let fs = open(data, &FakeBuilder::new()).await;
    deploy(&fs, "sleeps", &page("one")).await.expect("deploys");
    let app = fs.route("sleeps").expect("routes");
    let data_of = |call| {
        let somebody = Actor::of_worker(app, Principal::User(UserId::new(1, 1)));
        fs.shared.storage.data().call(somebody, Request::Kv(SpaceName::User, call))
    };
    let get = || data_of(KvCall::Get { key: "k".into() });
    data_of(set("k", "stored")).await.expect("sets");
    close_all(&fs).await;
    fs.releases.remove(&app);
    let mut filler = fs::File::create(data.join("filler")).expect("creates");
    while filler.write_all(&[0; 4096]).is_ok() {}
    drop(filler);
    assert_eq!(read_back(&fs, "sleeps").await, page("one"));
    for _ in 0..40 {
        let Ok(Response::Value(Some(entry))) = get().await else { panic!("{:?}", get().await) };
        assert_eq!(entry.value, b"stored", "what is stored is read from a file that was closed");
        // It is looked every so often.
        let error = loop {
            if let Err(error) = data_of(set("k", "stored")).await {
                break error;
            }
        };
        assert!(error.message.contains("no room"), "{error}");
        close_all(&fs).await;
    }
    let error = deploy(&fs, "sleeps", &page("two")).await.expect_err("no room");
    assert!(matches!(error, FsError::Storage(StorageError::Full(_))), "{error}");
    assert_eq!(read_back(&fs, "sleeps").await, page("one"));
    fs::remove_file(data.join("filler")).expect("removes");
    deploy(&fs, "sleeps", &page("two")).await.expect("there is room again");
    assert_eq!(read_back(&fs, "sleeps").await, page("two"));
    while data_of(set("k", "again")).await.is_err() {}
}

/// Closes every database but `kernel.db`.
async fn close_all(fs: &Fs) {
    loop {
        fs.shared.storage.close_idle(Duration::ZERO);
        if fs.shared.storage.data().connections() == 0 {
            return;
        }
        // A turn may still have one in hand.
        tokio::task::yield_now().await;
    }
}

fn set(key: &str, value: &str) -> KvCall {
    let (key, value) = (key.to_owned(), value.as_bytes().to_vec());
    let (meta, ttl_s, expires_unix_ms, if_version) = (None, None, None, None);
    KvCall::Set { key, value, kind: KvKind::Text, meta, ttl_s, expires_unix_ms, if_version }
}
