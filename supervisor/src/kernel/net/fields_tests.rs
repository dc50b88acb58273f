//! The header rules as tables.

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).expect("name"),
                HeaderValue::from_str(value).expect("value"),
            )
        })
        .collect()
}

fn request(fields: &[(&str, &str)], expect: &[(&str, &str)]) {
    let mut headers = map(fields);
    clean_request(&mut headers);
    assert_eq!(headers, map(expect), "{fields:?}");
}

#[test]
fn a_worker_sees_no_field_of_the_connection() {
    request(
        &[
            ("accept", "*/*"),
            ("connection", "close, X-Secret , upgrade"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "x"),
            ("trailer", "x"),
            ("expect", "100-continue"),
        ],
        &[("accept", "*/*")],
    );
    request(
        &[("connection", "host, cookie"), ("host", "a"), ("cookie", "a=1")],
        &[("host", "a"), ("cookie", "a=1")],
    );
}

#[test]
fn a_client_cannot_say_who_it_is() {
    request(
        &[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-anything", "x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("cf-connecting-ip", "1.2.3.4"),
            ("true-client-ip", "1.2.3.4"),
            ("x-fazt-user", "owner"),
            ("x-request-id", "req_forged"),
            ("user-agent", "curl"),
        ],
        &[("user-agent", "curl")],
    );
}

#[test]
fn a_worker_sees_no_credential_of_fazts() {
    request(&[("authorization", "Bearer fazt_abc")], &[]);
    request(&[("authorization", "bEARER   fazt_abc")], &[]);
    request(&[("authorization", "Bearer app-token")], &[("authorization", "Bearer app-token")]);
    request(&[("authorization", "Basic ZmF6dDo=")], &[("authorization", "Basic ZmF6dDo=")]);
    request(&[("cookie", "__Host-fazt=1"), ("cookie", "a=1; fazt_dev=2")], &[("cookie", "a=1")]);
}

const PASSKEYS: (&str, &str) =
    ("permissions-policy", "publickey-credentials-get=(), publickey-credentials-create=()");

const ORIGIN: &str = "https://notes.example.org:8443";

fn response(https: bool, fields: &[(&str, &str)], expect: &[(&str, &str)], dropped: usize) {
    let mut headers = map(fields);
    let count = clean_response(&mut headers, Answering { https, domain: "example.org", origin: ORIGIN });
    let mut expected = map(expect);
    expected.append(PERMISSIONS_POLICY, HeaderValue::from_static(PASSKEYS.1));
    assert_eq!(headers, expected, "{fields:?}");
    assert_eq!(count.len(), dropped, "{fields:?}");
}

#[test]
fn a_worker_never_sets_a_field_that_is_not_its_own() {
    for name in [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
        "date",
        "server",
        "alt-svc",
        "strict-transport-security",
        "clear-site-data",
        "nel",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie2",
        "feature-policy",
        "x-fazt-anything",
        "x-request-id",
    ] {
        response(true, &[(name, "1"), ("content-type", "text/plain")], &[("content-type", "text/plain")], 1);
    }
}

#[test]
fn an_app_cannot_give_itself_passkeys() {
    for policy in [
        "publickey-credentials-get=*",
        "publickey-credentials-create=(self)",
        "camera=(), publickey-credentials-get=(self)",
        // Any of these would make a browser throw the whole field away, ours included.
        "camera=(",
        "camera=())",
        "camera=(\"",
        "Camera=()",
        "camera",
        "camera=();a",
        ",",
        "camera=(), ",
        "camera=(\"a,b\")",
        "",
    ] {
        response(true, &[("permissions-policy", policy)], &[], 1);
    }
    for policy in ["camera=()", "camera=*, microphone=(self \"https://a.example\")", "fullscreen=self"] {
        response(true, &[("permissions-policy", policy)], &[("permissions-policy", policy)], 0);
    }
    let both = [("permissions-policy", "camera=()"), ("permissions-policy", "oops")];
    response(true, &both, &[], 1);
}

#[test]
fn an_app_cannot_send_people_or_scripts_to_the_os_origin() {
    for (name, value, passes) in [
        ("access-control-allow-origin", "https://example.org", false),
        ("access-control-allow-origin", "http://example.org:80", false),
        ("access-control-allow-origin", "https://EXAMPLE.org:8443", false),
        ("access-control-allow-origin", "https://example.org:8443", false),
        ("access-control-allow-origin", "http://example.org:5173", true),
        ("access-control-allow-origin", "http://example.org:5173, https://example.org:8443", false),
        ("access-control-allow-origin", "http://example.org:99999", false),
        ("access-control-allow-origin", "https://example.org.:1", false),
        ("access-control-allow-origin", "https://notes.example.org", true),
        ("access-control-allow-origin", "https://example.org.evil.net", true),
        ("access-control-allow-origin", "*", true),
        ("refresh", "0; url=https://example.org/admin", false),
        ("refresh", "0; url=//example.org", false),
        ("refresh", "0; url=https:\\\\example.org/", false),
        ("refresh", "0; url=https://u@example.org./", false),
        ("refresh", "5", true),
        ("refresh", "0; url=/next", true),
        ("refresh", "0; url=https://notes.example.org/", true),
    ] {
        let field = [(name, value)];
        let expect: &[(&str, &str)] = if passes { &field } else { &[] };
        response(true, &field, expect, usize::from(!passes));
    }
}

#[test]
fn cookies_of_an_app_stay_with_it() {
    response(
        true,
        &[
            ("set-cookie", "a=1; Domain=example.org"),
            ("set-cookie", "__Host-fazt=x"),
            ("set-cookie", "b=2; Secure"),
        ],
        &[("set-cookie", "a=1; Secure"), ("set-cookie", "b=2; Secure")],
        2,
    );
    response(false, &[("set-cookie", "a=1")], &[("set-cookie", "a=1")], 0);
}

#[test]
fn an_author_learns_why_unless_there_is_nothing_to_correct() {
    for (name, value, expect) in [
        ("transfer-encoding", "chunked", Some(OF_CONNECTION)),
        ("strict-transport-security", "max-age=1", Some(OF_SERVER)),
        ("x-fazt-user", "owner", Some(OF_FAZT)),
        ("permissions-policy", "oops", Some(OF_PASSKEYS)),
        ("refresh", "0; url=//example.org", Some(TO_OS)),
        ("set-cookie", "a=1; Domain=example.org; Path=/", Some(COOKIE_DOMAIN)),
        ("set-cookie", "__Host-fazt=1", Some(OF_COOKIES)),
        ("content-length", "7", None),
        ("date", "today", None),
    ] {
        let mut headers = map(&[(name, value)]);
        let dropped =
            clean_response(&mut headers, Answering { https: true, domain: "example.org", origin: ORIGIN });
        assert_eq!(dropped.iter().map(|one| one.why).collect::<Vec<_>>(), [expect], "{name}: {value}");
        assert_eq!(dropped[0].name, name);
    }
    let mut headers = map(&[("set-cookie", "a=1")]);
    let gained =
        clean_response(&mut headers, Answering { https: true, domain: "example.org", origin: ORIGIN });
    assert_eq!((gained, &headers["set-cookie"]), (Vec::new(), &HeaderValue::from_static("a=1; Secure")));
}

#[test]
fn some_answers_have_no_body() {
    use http::Method;
    for (method, status, expect) in [
        (Method::GET, 200, true),
        (Method::HEAD, 200, false),
        (Method::GET, 204, false),
        (Method::GET, 205, false),
        (Method::GET, 304, false),
        (Method::POST, 500, true),
    ] {
        assert_eq!(
            has_body(&method, StatusCode::from_u16(status).expect("status")),
            expect,
            "{method} {status}"
        );
    }
}
