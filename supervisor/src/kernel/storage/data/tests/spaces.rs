//! Named spaces: invitations, roles, and that changes hold at once.

use fazt_ipc::ids::SpaceId;

use super::*;

pub(super) async fn create(stage: &Stage, who: u128, name: &str) -> SpaceId {
    match stage.ask(person(who), Request::Spaces(SpaceCall::Create { name: name.into() })).await {
        Ok(Response::Space(info)) => info.id,
        other => panic!("{other:?}"),
    }
}

async fn invite(stage: &Stage, who: u128, space: SpaceId, role: Role) -> String {
    match stage.ask(person(who), Request::Spaces(SpaceCall::Add { space, user: None, role })).await {
        Ok(Response::Invite(code)) => code,
        other => panic!("{other:?}"),
    }
}

async fn join(stage: &Stage, who: u128, code: &str) -> Result<Response, DataError> {
    stage.ask(person(who), Request::Spaces(SpaceCall::Join { code: code.into() })).await
}

#[tokio::test]
async fn two_people_share_a_room_and_nothing_else() {
    let stage = Stage::new(&plain());
    let room = create(&stage, 1, "room").await;
    let named = SpaceName::Named(room);
    stage.put(person(1), SpaceName::User, r#"{"id":"a","title":"mine"}"#).await;
    stage.put(person(1), named, r#"{"id":"a","title":"ours"}"#).await;
    let get = || DocCall::Get { id: "a".into() };
    assert_eq!(code(stage.doc(person(2), named, get()).await), ErrorCode::NotFound);
    let there_is_none = stage.doc(person(2), SpaceName::Named(SpaceId::new(1, 1)), get()).await;
    assert_eq!(
        there_is_none,
        stage.doc(person(2), named, get()).await,
        "no such room and not mine are one answer"
    );
    let reader = invite(&stage, 1, room, Role::Reader).await;
    join(&stage, 2, &reader).await.expect("joins");
    let ours = Ok(Response::Doc(Some(r#"{"id":"a","version":1,"title":"ours"}"#.into())));
    assert_eq!(stage.doc(person(2), named, get()).await, ours);
    assert_eq!(stage.doc(person(2), SpaceName::User, get()).await, Ok(Response::Doc(None)));
    let write = || DocCall::Write(DocWrite::Update { id: "a".into(), patch: "{}".into(), if_version: None });
    assert_eq!(code(stage.doc(person(2), named, write()).await), ErrorCode::PermissionDenied);
    let change = |role| Request::Spaces(SpaceCall::Add { space: room, user: Some(user(2)), role });
    assert_eq!(code(stage.ask(person(2), change(Role::Manager)).await), ErrorCode::PermissionDenied);
    assert_eq!(stage.ask(person(1), change(Role::Writer)).await, Ok(Response::Done));
    stage.doc(person(2), named, write()).await.expect("a writer now");
    let remove = Request::Spaces(SpaceCall::Remove { space: room, user: user(2) });
    assert_eq!(stage.ask(person(1), remove).await, Ok(Response::Done));
    assert_eq!(code(stage.doc(person(2), named, get()).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_invitation_is_good_once_and_for_a_while() {
    let stage = Stage::new(&plain());
    let room = create(&stage, 1, "room").await;
    let once = invite(&stage, 1, room, Role::Writer).await;
    let (first, second) = tokio::join!(join(&stage, 2, &once), join(&stage, 3, &once));
    assert_eq!([first.is_ok(), second.is_ok()].into_iter().filter(|ok| *ok).count(), 1, "one of two at once");
    let late = invite(&stage, 1, room, Role::Writer).await;
    stage.later(limits::INVITE_MS);
    for bad in [late.as_str(), "", "inv_", "inv_00000000000000000000000000000000", "x", &"inv_".repeat(1000)]
    {
        assert_eq!(code(join(&stage, 4, bad).await), ErrorCode::NotFound, "{bad:.40}");
    }
    for _ in 0..limits::INVITES_MAX {
        invite(&stage, 1, room, Role::Reader).await;
    }
    let more = Request::Spaces(SpaceCall::Add { space: room, user: None, role: Role::Reader });
    assert_eq!(code(stage.ask(person(1), more).await), ErrorCode::QuotaExceeded);
    for name in ["", "  ", "a\nb", &"x".repeat(201)] {
        let request = Request::Spaces(SpaceCall::Create { name: name.into() });
        assert_eq!(code(stage.ask(person(1), request).await), ErrorCode::InvalidArgument);
    }
    let file = std::fs::read(stage.file(stage.app)).expect("reads");
    assert!(!file.windows(20).any(|bytes| bytes == &once.as_bytes()[..20]), "codes are kept as hashes");
}

#[tokio::test]
async fn who_has_no_such_space_is_told_so() {
    let stage = Stage::new(&plain());
    let count = || DocCall::Count { filter: None };
    let named = SpaceName::Named(SpaceId::new(1, 1));
    for (who, space, expect) in [
        (Principal::Anonymous, SpaceName::User, Err(ErrorCode::SignInRequired)),
        (Principal::Anonymous, named, Err(ErrorCode::SignInRequired)),
        (Principal::Anonymous, SpaceName::App, Ok(())),
        (Principal::Service, SpaceName::User, Err(ErrorCode::PermissionDenied)),
        (Principal::Service, named, Err(ErrorCode::PermissionDenied)),
        (Principal::Service, SpaceName::App, Ok(())),
        (person(1), SpaceName::User, Ok(())),
        (person(1), named, Err(ErrorCode::NotFound)),
    ] {
        let said = stage.doc(who, space, count()).await.map(|_| ()).map_err(|error| error.code);
        assert_eq!(said, expect, "{who} {space:?}");
    }
    stage.deploy(stage.app, &DataSchema { spaces: false, ..plain() }).expect("deploys");
    for space in [SpaceName::App, named] {
        let error = stage.doc(person(1), space, count()).await.expect_err("not granted");
        assert_eq!((error.code, error.permission), (ErrorCode::PermissionDenied, "spaces"));
    }
    let create = Request::Spaces(SpaceCall::Create { name: "x".into() });
    assert_eq!(code(stage.ask(person(1), create).await), ErrorCode::PermissionDenied);
    assert_eq!(stage.doc(person(1), SpaceName::User, count()).await, Ok(Response::Count(0)));
    stage.put(person(1), SpaceName::User, r#"{"id":"a"}"#).await;
    assert_eq!(stage.doc(person(1), SpaceName::User, count()).await, Ok(Response::Count(1)));
}
