#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;

use super::*;
use crate::http::matching::{HeaderKey, HeaderTest, StringMatch, StringMatchKind};

const DELAY: Duration = Duration::from_secs(2);

fn fault() -> Fault {
    Fault {
        delay: Some((DELAY, Fraction::new(30, 100))),
        abort: Some((Abort::Http(StatusCode::SERVICE_UNAVAILABLE), Fraction::new(1, 10_000))),
        ..Fault::default()
    }
}

#[test]
fn shares_are_exact_and_drawn_for_apart() {
    let parts = Request::get("/").body(()).unwrap().into_parts().0;
    let view = RequestView::of(&parts);
    let decisions: Vec<Injected> = (0..10_000).map(|random| fault().decide(&view, random, random)).collect();
    assert_eq!(decisions.iter().filter(|injected| injected.delay == Some(DELAY)).count(), 3_000);
    assert_eq!(decisions.iter().filter(|injected| injected.abort.is_some()).count(), 1);
    let both = fault().decide(&view, 0, 0);
    assert_eq!(both, Injected { delay: Some(DELAY), abort: Some(Abort::Http(StatusCode::SERVICE_UNAVAILABLE)) });
}

/// Istio's task "Fault injection": 2 s for 30 % of the requests of users with a header.
#[test]
fn only_requests_with_the_headers() {
    let test = HeaderTest::Value(StringMatch { kind: StringMatchKind::Exact("jason".into()), ignore_case: false });
    let header =
        HeaderMatch { name: HeaderKey::parse("end-user").unwrap(), test, invert: false, missing_is_empty: false };
    let fault = Fault { headers: vec![header], ..fault() };
    let anybody = Request::get("/").body(()).unwrap().into_parts().0;
    let jason = Request::get("/").header("end-user", "jason").body(()).unwrap().into_parts().0;
    assert_eq!(fault.decide(&RequestView::of(&anybody), 0, 0), Injected::default());
    assert_eq!(fault.decide(&RequestView::of(&jason), 0, 99).delay, Some(DELAY));
}
