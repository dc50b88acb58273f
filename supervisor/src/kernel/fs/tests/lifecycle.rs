//! Apps over their life.

use super::*;

fn page(text: &str) -> Tree {
    tree(&[("index.html", text)])
}

#[tokio::test]
async fn versions_are_kept_pruned_and_gone_back_to() {
    let data = tempfile::tempdir().expect("folder");
    let fs =
        open_with(data.path(), &FakeBuilder::new(), FsOptions { versions_kept: 3, ..FsOptions::default() })
            .await;
    for number in 1..=5 {
        deploy(&fs, "a", &page(&format!("page {number}"))).await.expect("deploys");
    }
    let numbers = async |fs: &Fs| {
        fs.versions("a").await.expect("versions").iter().map(|v| (v.number, v.active)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&fs).await, [(5, true), (4, false), (3, false)]);
    assert_eq!(fs.rollback("a", None).await.expect("back").number, 4);
    assert_eq!(fs.rollback("a", None).await.expect("back").number, 3);
    assert!(matches!(fs.rollback("a", None).await, Err(FsError::NothingEarlier(_))));
    assert!(matches!(fs.rollback("a", Some(1)).await, Err(FsError::UnknownVersion { number: 1, .. })));
    assert_eq!(read_back(&fs, "a").await, page("page 3"));
    // The active version stays although it is old; numbers are not used twice.
    deploy(&fs, "a", &page("page 3b")).await.expect("deploys");
    assert_eq!(numbers(&fs).await, [(6, true), (5, false), (4, false)]);
    assert_eq!(fs.rollback("a", Some(5)).await.expect("forward").number, 5);
    assert_eq!(read_back(&fs, "a").await, page("page 5"));
    fs.verify(fs.route("a").expect("routes")).await.expect("sound");
    // Contents that only pruned versions used are gone: they travel again.
    let ticket = fs.plan("a", plan_of(&page("page 1"))).await.expect("plan");
    assert_eq!(ticket.missing.len(), 1);
    let ticket = fs.plan("a", plan_of(&page("page 4"))).await.expect("plan");
    assert_eq!(ticket.missing.len(), 0, "a version that is kept has it");
}

#[tokio::test]
async fn names_move_and_never_belong_to_two() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    deploy(&fs, "a", &page("a")).await.expect("deploys");
    deploy(&fs, "b", &page("b")).await.expect("deploys");
    let id = fs.route("a").expect("routes");
    assert!(matches!(fs.rename("a", "b").await, Err(FsError::NameTaken(_))));
    assert!(matches!(fs.rename("a", "a").await, Err(FsError::SameName(_))), "nothing would change");
    assert!(matches!(fs.rename("a", "www").await, Err(FsError::BadName { .. })));
    assert!(matches!(fs.rename("x", "y").await, Err(FsError::NoApp(_))));
    fs.release(id).await.expect("release");
    assert_eq!(fs.rename("a", "c").await.expect("renames").name, "c");
    assert_eq!((fs.route("a"), fs.route("c")), (None, Some(id)));
    assert_eq!(fs.release(id).await.expect("release").name, "c");
    drop(fs);
    let fs = open(data.path(), &builder).await;
    assert_eq!((fs.route("a"), fs.route("c"), fs.count()), (None, Some(id), 2));
}

#[tokio::test]
async fn a_removed_app_is_gone_and_a_kept_one_comes_back() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let first = deploy(&fs, "a", &page("one")).await.expect("deploys");
    fs.remove("a", true).await.expect("removes");
    assert!(fs.route("a").is_none() && matches!(fs.release(first.app.id).await, Err(FsError::NoApp(_))));
    drop(fs);
    let fs = open(data.path(), &builder).await;
    assert_eq!(fs.count(), 0);
    let again = deploy(&fs, "a", &page("two")).await.expect("deploys");
    assert_eq!((again.app.id, again.version.number), (first.app.id, 2), "the same app, with its past");
    let folder = data.path().join("apps").join(first.app.id.to_string());
    assert!(folder.exists());
    fs.remove("a", false).await.expect("removes");
    assert!(!folder.exists());
    assert!(matches!(fs.remove("a", false).await, Err(FsError::NoApp(_))));
    let fresh = deploy(&fs, "a", &page("three")).await.expect("deploys");
    assert_ne!(fresh.app.id, first.app.id);
    assert_eq!(fresh.version.number, 1);
}

#[tokio::test]
async fn the_files_of_an_app_are_listed_with_their_sizes() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let files =
        tree(&[("public/a/b.txt", "12"), ("public/a.txt", "345"), ("public/a-b", "6"), ("server.js", "//")]);
    deploy(&fs, "a", &files).await.expect("deploys");
    let show = async |path: &str| {
        let listing = fs.list("a", path).await.expect("lists");
        let children: Vec<_> = listing
            .children
            .iter()
            .map(|c| format!("{}{}={}", c.path, if c.dir { "/" } else { "" }, c.bytes))
            .collect();
        (listing.entry.dir, listing.entry.bytes, children.join(" "))
    };
    assert_eq!(show("").await, (true, 8, "public/=6 server.js=2".into()));
    assert_eq!(show("/public/").await, (true, 6, "public/a/=2 public/a-b=1 public/a.txt=3".into()));
    assert_eq!(show("server.js").await, (false, 2, String::new()));
    assert!(matches!(fs.list("a", "publi").await, Err(FsError::NoFile(_))));
    let (release, file) = fs.file("a", "public/a.txt").await.expect("there");
    assert_eq!(release.content(&file, Encoding::Identity).await.expect("content"), "345");

    let names: Vec<_> =
        release.entries("/public").await.expect("lists").into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["a", "a-b", "a.txt"]);
    assert_eq!(release.stat("/public/a").await.expect("folder").bytes, 0);
    assert_eq!(release.stat("server.js").await.expect("file").media_type, "text/javascript; charset=utf-8");
    assert!(release.stat("public/x").await.is_err() && release.entries("server.js").await.is_err());
    assert!(release.deployed("public").await.is_err());
}

#[tokio::test]
async fn more_apps_than_open_files_are_served_in_turn() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    for number in 0..80 {
        deploy(&fs, &format!("app{number}"), &page(&format!("{number}"))).await.expect("deploys");
    }
    assert!(fs.shared.storage.open_count() <= 64);
    assert_eq!(fs.apps().await.expect("lists").len(), 80);
    for number in 0..80 {
        assert_eq!(read_back(&fs, &format!("app{number}")).await, page(&format!("{number}")));
    }
    assert!(fs.shared.storage.open_count() <= 64);
    fs.shared.storage.close_idle(Duration::ZERO);
    assert_eq!(fs.shared.storage.open_count(), 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_data() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let done = deploy(&fs, "a", &page("x")).await.expect("deploys");
    let folder = data.path().join("apps").join(done.app.id.to_string());
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("app.fazt"))), (0o700, 0o600));
    assert_eq!((mode(&data.path().join("apps")), mode(&data.path().join("kernel.db"))), (0o700, 0o600));
}
