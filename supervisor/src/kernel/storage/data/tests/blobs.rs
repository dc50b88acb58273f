//! Blobs on real files: what is kept where, what a failed put and a crash leave, whose they are, the quota.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::blobs::{
    Attributes, BlobAnswer, BlobCall, BlobInfo, BlobList, Bytes, Conditions, Content, Range,
};
use super::super::limits::BLOB_INLINE_BYTES_MAX;
use super::crash::{FOLDER, FROM, writer};
use super::*;

/// More than lies in the cartridge.
const LARGE: usize = 3 * BLOB_INLINE_BYTES_MAX;

impl Stage {
    async fn content(&self, who: Principal, bytes: &[u8]) -> Content {
        let mut stager =
            self.data.stager(Actor::of_worker(self.app, who), u64::MAX, &["sha256"]).expect("a stager");
        for chunk in bytes.chunks(50_000) {
            stager.write(chunk).await.expect("room");
        }
        stager.finish().await.expect("whole")
    }

    async fn blob(&self, who: Principal, space: SpaceName, call: BlobCall) -> Result<BlobAnswer, DataError> {
        match self.ask(who, Request::Blobs(space, Box::new(call))).await? {
            Response::Blob(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn put_blob(
        &self,
        who: Principal,
        key: &str,
        bytes: &[u8],
    ) -> Result<BlobInfo, DataError> {
        let content = self.content(who, bytes).await;
        let attributes = Attributes { http: Some("{\"t\":1}".into()), meta: None };
        let put = BlobCall::Put { key: key.into(), content, attributes, only_if: None };
        match self.blob(who, SpaceName::User, put).await? {
            BlobAnswer::Info(Some(info)) => Ok(info),
            other => panic!("{other:?}"),
        }
    }

    async fn blob_bytes(&self, who: Principal, key: &str, range: Range) -> Option<Vec<u8>> {
        let get = BlobCall::Get { key: key.into(), range, only_if: None };
        match self.blob(who, SpaceName::User, get).await.expect("an answer") {
            BlobAnswer::Found(None) => None,
            BlobAnswer::Found(Some((_, Some((_, Bytes::Whole(bytes)))))) => Some(bytes),
            BlobAnswer::Found(Some((_, Some((_, Bytes::File(file, at, length)))))) => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, at).expect("the file's bytes");
                Some(bytes)
            }
            other => panic!("{other:?}"),
        }
    }

    fn folder(&self) -> PathBuf {
        self.file(self.app).with_file_name("blobs")
    }

    /// Files of blobs, staged ones among them.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &std::path::Path, into: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), into) } else { into.push(entry.path()) }
            }
        }
        let mut files = Vec::new();
        walk(&self.folder(), &mut files);
        files.sort();
        files
    }
}

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| seed.wrapping_add((at / 251) as u8).wrapping_mul(31) ^ (at as u8)).collect()
}

#[tokio::test]
async fn short_ones_lie_in_the_cartridge_and_long_ones_in_a_file_that_goes_with_its_last_row() {
    let stage = Stage::new(&plain());
    let who = person(1);
    let (short, long) = (bytes(1, BLOB_INLINE_BYTES_MAX), bytes(2, LARGE));
    let info = stage.put_blob(who, "short", &short).await.expect("kept");
    assert_eq!((info.size, info.etag.len(), stage.files().len()), (BLOB_INLINE_BYTES_MAX as u64, 32, 0));
    assert!(info.sums.as_ref().is_some_and(|sums| sums.contains("\"sha256\":\"")), "{info:?}");
    stage.put_blob(who, "long", &long).await.expect("kept");
    stage.put_blob(who, "again", &long).await.expect("kept");
    assert_eq!(stage.files().len(), 1, "the same bytes of one space are one file");
    for (key, whole) in [("short", &short), ("long", &long)] {
        assert_eq!(stage.blob_bytes(who, key, Range::default()).await.as_ref(), Some(whole));
        let range = Range { offset: Some(1_000), length: Some(7), suffix: None };
        assert_eq!(stage.blob_bytes(who, key, range).await.as_deref(), Some(&whole[1_000..1_007]));
        let range = Range { suffix: Some(5), ..Range::default() };
        assert_eq!(stage.blob_bytes(who, key, range).await.as_deref(), Some(&whole[whole.len() - 5..]));
        let past = Range { offset: Some(whole.len() as u64), ..Range::default() };
        let get = BlobCall::Get { key: key.into(), range: past, only_if: None };
        assert_eq!(code(stage.blob(who, SpaceName::User, get).await), ErrorCode::InvalidQuery);
    }
    assert_eq!(stage.blob_bytes(who, "none", Range::default()).await, None);
    // Whoever reads goes on reading what was there.
    let get = BlobCall::Get { key: "long".into(), range: Range::default(), only_if: None };
    let Ok(BlobAnswer::Found(Some((_, Some((_, Bytes::File(file, ..))))))) =
        stage.blob(who, SpaceName::User, get).await
    else {
        panic!("a file")
    };
    stage.put_blob(who, "long", b"now short").await.expect("kept");
    assert_eq!(stage.files().len(), 1, "the other row still names it");
    let delete = BlobCall::Delete { keys: vec!["again".into(), "none".into()] };
    assert_eq!(stage.blob(who, SpaceName::User, delete).await, Ok(BlobAnswer::Deleted(1)));
    assert_eq!(stage.files().len(), 0);
    let mut read = Vec::new();
    (&*file).read_to_end(&mut read).expect("open");
    assert_eq!(read, long);
}

#[tokio::test]
async fn a_put_that_does_not_come_to_its_end_leaves_the_old_value_and_nothing_else() {
    let stage = Stage::new(&plain());
    let who = person(1);
    stage.put_blob(who, "k", &bytes(1, LARGE)).await.expect("kept");
    let mut stager = stage.data.stager(Actor::of_worker(stage.app, who), u64::MAX, &[]).expect("a stager");
    stager.write(&bytes(2, LARGE)).await.expect("room");
    assert_eq!(stage.files().len(), 2, "it is on its way");
    drop(stager);
    assert_eq!(stage.files().len(), 1);
    // Whole, and a condition does not hold.
    let content = stage.content(who, &bytes(3, LARGE)).await;
    let only_if = Some(Conditions { matches: Some(vec!["other".into()]), ..Conditions::default() });
    let put = BlobCall::Put { key: "k".into(), content, attributes: Attributes::default(), only_if };
    assert_eq!(stage.blob(who, SpaceName::User, put).await, Ok(BlobAnswer::Info(None)));
    assert_eq!(stage.files().len(), 1);
    assert_eq!(stage.blob_bytes(who, "k", Range::default()).await, Some(bytes(1, LARGE)));
}

#[tokio::test]
async fn nobody_reads_lists_replaces_or_learns_of_anothers() {
    let stage = Stage::new(&plain());
    let (anna, ben) = (person(1), person(2));
    stage.put_blob(anna, "mine", &bytes(1, LARGE)).await.expect("kept");
    stage.put_blob(anna, "small", b"x").await.expect("kept");
    assert_eq!(stage.blob_bytes(ben, "mine", Range::default()).await, None);
    let list = || BlobCall::List(BlobList::default());
    let page = |answer| match answer {
        Ok(BlobAnswer::Page { items, .. }) => items.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(stage.blob(ben, SpaceName::User, list()).await), 0);
    assert_eq!(page(stage.blob(anna, SpaceName::User, list()).await), 2);
    // The same bytes are another file: not even the room they take says that somebody has them.
    stage.put_blob(ben, "mine", &bytes(1, LARGE)).await.expect("kept");
    assert_eq!(stage.files().len(), 2);
    let delete = BlobCall::Delete { keys: vec!["mine".into(), "small".into()] };
    assert_eq!(stage.blob(ben, SpaceName::User, delete).await, Ok(BlobAnswer::Deleted(1)));
    assert_eq!(stage.blob_bytes(anna, "mine", Range::default()).await, Some(bytes(1, LARGE)));
    // Nor does an upload's id help.
    let begin = BlobCall::Begin { key: "u".into(), attributes: Attributes::default() };
    let Ok(BlobAnswer::Upload(id)) = stage.blob(anna, SpaceName::User, begin).await else { panic!("an id") };
    let content = stage.content(ben, b"part").await;
    let part = BlobCall::Part { key: "u".into(), upload: id.clone(), number: 1, content };
    assert_eq!(code(stage.blob(ben, SpaceName::User, part).await), ErrorCode::NotFound);
    let abort = BlobCall::Abort { key: "u".into(), upload: id.clone() };
    assert_eq!(stage.blob(ben, SpaceName::User, abort).await, Ok(BlobAnswer::Done));
    let content = stage.content(anna, b"part").await;
    let part = BlobCall::Part { key: "u".into(), upload: id, number: 1, content };
    assert!(stage.blob(anna, SpaceName::User, part).await.is_ok(), "it is still there");
    assert_eq!(
        code(stage.blob(Principal::Anonymous, SpaceName::User, list()).await),
        ErrorCode::SignInRequired
    );
}

#[tokio::test]
async fn parts_become_one_blob_with_the_etag_of_their_etags() {
    let stage = Stage::new(&plain());
    let who = person(1);
    let user = SpaceName::User;
    let begin =
        BlobCall::Begin { key: "u".into(), attributes: Attributes { http: None, meta: Some("[1]".into()) } };
    let Ok(BlobAnswer::Upload(id)) = stage.blob(who, user, begin).await else { panic!("an id") };
    let (first, last) = (bytes(1, 5 * 1024 * 1024), bytes(2, 10));
    let mut etags = Vec::new();
    for (number, part) in [(1, &first), (7, &last)] {
        let content = stage.content(who, part).await;
        let call = BlobCall::Part { key: "u".into(), upload: id.clone(), number, content };
        let Ok(BlobAnswer::Part(etag)) = stage.blob(who, user, call).await else { panic!("an etag") };
        etags.push((number, etag));
    }
    let parts = |parts: &[(u32, String)]| BlobCall::Parts {
        key: "u".into(),
        upload: id.clone(),
        parts: parts.to_vec(),
    };
    let wrong = [(1, "0".repeat(32))];
    assert_eq!(code(stage.blob(who, user, parts(&wrong)).await), ErrorCode::Conflict);
    assert_eq!(code(stage.blob(who, user, parts(&[(2, etags[0].1.clone())])).await), ErrorCode::Conflict);
    let swapped = [etags[1].clone(), etags[0].clone()];
    assert_eq!(
        code(stage.blob(who, user, parts(&swapped)).await),
        ErrorCode::TooLarge,
        "the short one is last"
    );
    let Ok(BlobAnswer::Parts(sources, etag)) = stage.blob(who, user, parts(&etags)).await else {
        panic!("parts")
    };
    assert_eq!(sources.len(), 2);
    assert!(etag.ends_with("-2"), "{etag}");
    let mut content = stage.content(who, &[&first[..], &last[..]].concat()).await;
    content.etag = Some(etag.clone());
    let complete = BlobCall::Complete { key: "u".into(), upload: id.clone(), content };
    let Ok(BlobAnswer::Info(Some(info))) = stage.blob(who, user, complete).await else { panic!("a blob") };
    assert_eq!((info.etag, info.attributes.meta.as_deref()), (etag, Some("[1]")));
    assert_eq!(stage.files().len(), 1, "those of the parts are gone");
    assert_eq!(code(stage.blob(who, user, parts(&etags)).await), ErrorCode::NotFound);
    drop(sources);
}

#[tokio::test]
async fn files_count_in_the_quota_with_everything_else() {
    let schema = DataSchema { storage_mib: 1, ..plain() };
    let stage = Stage::new(&schema);
    let who = person(1);
    stage.put_blob(who, "one", &bytes(1, 900_000)).await.expect("there is room");
    assert_eq!(code(stage.put_blob(who, "two", &bytes(2, 900_000)).await), ErrorCode::QuotaExceeded);
    // What was refused goes when its call does, which has been answered before.
    while stage.files().len() > 1 {
        tokio::task::yield_now().await;
    }
    stage.put_blob(who, "one", &bytes(3, 900_000)).await.expect("instead of the old one");
    let mut refused = None;
    for n in 0..40 {
        if let Err(error) = stage.set(who, SpaceName::User, &format!("k{n}"), &"x".repeat(60_000)).await {
            refused = Some(error.code);
            break;
        }
    }
    assert_eq!(refused, Some(ErrorCode::QuotaExceeded), "keys find less room beside it");
    let delete = BlobCall::Delete { keys: vec!["one".into()] };
    stage.blob(who, SpaceName::User, delete).await.expect("deleting frees");
    stage.set(who, SpaceName::User, "after", &"x".repeat(60_000)).await.expect("room again");
    let Ok(BlobAnswer::Room(room)) = stage.blob(who, SpaceName::User, BlobCall::Room).await else {
        panic!("room")
    };
    let mut stager = stage.data.stager(Actor::of_worker(stage.app, who), room, &[]).expect("a stager");
    let mut outcome = Ok(());
    for _ in 0..100 {
        outcome = stager.write(&[0; 50_000]).await;
        if outcome.is_err() {
            break;
        }
    }
    assert_eq!(code(outcome), ErrorCode::QuotaExceeded, "refused while it comes, not when it is there");
}

#[tokio::test]
async fn what_a_crash_left_is_found_and_what_rows_name_stays() {
    let stage = Stage::new(&plain());
    let who = person(1);
    stage.put_blob(who, "kept", &bytes(1, LARGE)).await.expect("kept");
    let kept = stage.files();
    for folder in 0..=255u8 {
        let folder = stage.folder().join(format!("{folder:02x}"));
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("0".repeat(62)), b"renamed, then no row").expect("file");
    }
    // The keys that expire are looked for once a minute, and some folders then.
    for _ in 0..40 {
        stage.later(61_000);
        stage.set(who, SpaceName::User, "tick", "x").await.expect("kept");
    }
    let settled = async {
        while stage.files() != kept {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), settled).await.expect("only what is named");
    assert_eq!(stage.blob_bytes(who, "kept", Range::default()).await, Some(bytes(1, LARGE)));
}

#[tokio::test]
async fn lists_go_on_where_they_ended_and_fold_at_a_delimiter() {
    let stage = Stage::new(&plain());
    let who = person(1);
    for key in ["a", "b/1", "b/2", "b/c/3", "c", "d/4", "e\u{1f600}"] {
        stage.put_blob(who, key, key.as_bytes()).await.expect("kept");
    }
    for limit in 1..=8 {
        let (mut keys, mut folded, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let list =
                BlobList { delimiter: Some("/".into()), limit: Some(limit), cursor, ..BlobList::default() };
            let Ok(BlobAnswer::Page { items, prefixes, cursor: next }) =
                stage.blob(who, SpaceName::User, BlobCall::List(list)).await
            else {
                panic!("a page")
            };
            assert!((1..=limit as usize).contains(&(items.len() + prefixes.len())), "{limit}");
            keys.extend(items.into_iter().map(|info| info.key));
            folded.extend(prefixes);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(
            (keys, folded),
            (vec!["a".into(), "c".into(), "e\u{1f600}".into()], vec!["b/".into(), "d/".into()]),
            "{limit}"
        );
    }
    let list = BlobList { prefix: "b/".into(), after: Some("b/1".into()), ..BlobList::default() };
    let Ok(BlobAnswer::Page { items, .. }) = stage.blob(who, SpaceName::User, BlobCall::List(list)).await
    else {
        panic!("a page")
    };
    assert_eq!(items.into_iter().map(|info| info.key).collect::<Vec<_>>(), ["b/2", "b/c/3"]);
}

#[tokio::test]
async fn names_of_every_kind_are_names_and_too_long_ones_are_refused() {
    let stage = Stage::new(&plain());
    let who = person(1);
    for key in ["../../etc/passwd", "a\0b", "'; DROP TABLE blob; --", "\"", "%", "\u{202e}x", "sqlite_master"]
    {
        stage.put_blob(who, key, &bytes(1, LARGE)).await.expect(key);
        assert_eq!(stage.blob_bytes(who, key, Range::default()).await, Some(bytes(1, LARGE)), "{key:?}");
    }
    assert_eq!(stage.files().len(), 1);
    for key in [
        String::new(),
        "x".repeat(1_025),
        "x".repeat(65_536),
        format!("{}/{}", "b".repeat(64), "x".repeat(1_025)),
    ] {
        let head = BlobCall::Head { key };
        assert_eq!(code(stage.blob(who, SpaceName::User, head).await), ErrorCode::InvalidArgument);
    }
    let attributes = Attributes { http: None, meta: Some("{".into()) };
    let content = stage.content(who, b"x").await;
    let put = BlobCall::Put { key: "k".into(), content, attributes, only_if: None };
    assert_eq!(code(stage.blob(who, SpaceName::User, put).await), ErrorCode::InvalidArgument);
    for upload in ["", "'", "x/00001", &"f".repeat(64)] {
        let parts =
            BlobCall::Parts { key: "k".into(), upload: upload.into(), parts: vec![(1, String::new())] };
        assert_eq!(code(stage.blob(who, SpaceName::User, parts).await), ErrorCode::NotFound, "{upload}");
    }
}

/// Not a test by itself: the process that is killed. It puts blobs of one number each, now short, now long, and
/// tells when each was acknowledged.
#[tokio::test]
async fn puts_until_it_is_killed() {
    let (Some(folder), Ok(from)) = (std::env::var_os(FOLDER), std::env::var(FROM)) else { return };
    let data = engine(PathBuf::from(folder), &Arc::new(AtomicU64::new(START_MS)));
    let who = Actor::of_worker(AppId::new(1, 1), person(1));
    for number in from.parse::<u64>().expect("a number") + 1.. {
        let mut stager = data.stager(who, u64::MAX, &[]).expect("a stager");
        let repeat = if number % 3 == 0 { 100 } else { LARGE / 8 };
        stager.write(&number.to_le_bytes().repeat(repeat)).await.expect("room");
        let content = stager.finish().await.expect("whole");
        let attributes = Attributes { http: None, meta: Some(number.to_string()) };
        let put = BlobCall::Put { key: "k".into(), content, attributes, only_if: None };
        data.call(who, Request::Blobs(SpaceName::User, Box::new(put))).await.expect("puts");
        println!("kept {number}");
    }
}

#[tokio::test]
async fn a_put_that_was_acknowledged_is_whole_after_a_kill_and_half_of_one_is_never_there() {
    let mut rng = StdRng::seed_from_u64(seed());
    let stage = Stage::new(&plain());
    let who = person(1);
    let rounds = std::env::var("FAZT_CRASHES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    let mut from = 0;
    for round in 0..rounds {
        stage.data.close(stage.app);
        let mut child = writer("blobs::puts_until_it_is_killed", stage.folder.path(), from);
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut told = lines.filter_map(|line| line.split("kept ").nth(1)?.trim().parse::<u64>().ok());
        let wanted = rng.random_range(1..12);
        let mut kept = told.by_ref().take(wanted).last().expect("it puts");
        std::thread::sleep(Duration::from_micros(rng.random_range(0..8_000)));
        child.kill().expect("kills");
        kept = told.last().unwrap_or(kept);
        child.wait().expect("reaped");
        let head = stage.blob(who, SpaceName::User, BlobCall::Head { key: "k".into() }).await;
        let Ok(BlobAnswer::Info(Some(info))) = head else { panic!("round {round}: {head:?}") };
        let there: u64 = info.attributes.meta.expect("its number").parse().expect("a number");
        assert!(there >= kept, "round {round}: {kept} was acknowledged, {there} is there");
        let whole = stage.blob_bytes(who, "k", Range::default()).await.expect("its bytes");
        assert_eq!(whole.len() as u64, info.size, "round {round}");
        assert!(whole.chunks(8).all(|number| number == there.to_le_bytes()), "round {round}: of one put");
        from = there;
    }
    // What the kills left behind: staged bytes, which a start of the server clears, and files without a row.
    super::super::blobs::clear(&stage.folder());
    for _ in 0..34 {
        stage.later(61_000);
        stage.set(who, SpaceName::User, "tick", "x").await.expect("kept");
    }
    let named = usize::from(from % 3 != 0);
    let settled = async {
        while stage.files().len() != named {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.expect("only what a row names");
}
