//! HTTP: what is decided about a request, and how it travels. [`serve`] is the life of a request, from top to bottom.

pub mod body;
pub mod cors;
pub mod decide;
pub mod direct_response;
pub mod exchange;
pub mod fault;
pub mod forward;
pub mod forwarded;
pub mod fraction;
pub mod grpc;
pub mod headers;
pub mod incoming;
pub mod matching;
pub mod mirror;
pub mod normalise;
pub mod patience;
pub mod redirect;
pub mod reply;
pub mod response_body;
pub mod retry;
pub mod rewrite;
pub mod route_table;
pub mod server;
pub mod timeout;
pub mod upgrade;
pub mod validate;
pub mod weights;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HOST, SERVER, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use record::{ResponseFlags, Security};

use self::cors::CorsOutcome;
use self::decide::{Action, Policy, RequestView, Route};
use self::exchange::{Exchange, ResponseHead};
use self::fault::{Abort, Fault};
use self::incoming::Incoming;
use self::reply::{NOT_PROCESSED, Reply};
use self::response_body::ResponseBody;
use self::route_table::RouteTable;
use crate::handover::Phase;
use crate::http1::head::Malformed;
use crate::http1::spelling::Spelling;
use crate::http2::multiplex::HTTP1;
use crate::model::{HttpSettings, Known, RouteSource, ServerHeader};
use crate::worker::{Connection, Direction, Worker};

/// Serves one request: validate, normalise, route, policies, action, policies on the way back.
///
/// Every way out is a response; the exchange is recorded when the response's body has ended. `spelling` is that of the
/// header names, for an upstream that speaks HTTP/1.
pub async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
    spelling: Option<Spelling>,
) -> Response<ResponseBody> {
    let (mut parts, body) = request.into_parts();
    let mut exchange = Exchange::begin(&worker, &connection, &parts);
    let settings = &connection.settings;

    let rules =
        validate::Rules { reject_underscores: settings.reject_underscores, accept_http10: settings.accept_http10 };
    if parts.headers.len() > settings.max_headers {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refuse(&worker, &connection, exchange, &validate::Refusal::new(status, "too_many_headers"));
    }
    if let Err(refusal) = validate::request(&parts, rules) {
        return refuse(&worker, &connection, exchange, &refusal);
    }
    let upgrade =
        settings.websocket && parts.version == Version::HTTP_11 && forwarded::asks_for_websocket(&parts.headers);
    if let Err(refusal) = prepare(&worker, &connection, &mut parts, upgrade) {
        return refuse(&worker, &connection, exchange, &refusal);
    }

    exchange.note_request_id(&parts);

    let route = match find_route(&worker, settings, &parts) {
        Ok(route) => route,
        Err(reply) => return answer(&worker, &connection, exchange, None, reply),
    };
    exchange.route = Some(route.name.clone());

    let mut annotate = None;
    if let Some(fault) = settings.default_fault.as_ref().filter(|_| !route.has_fault())
        && let Err(reply) = inject(fault, &parts, &exchange).await
    {
        return answer(&worker, &connection, exchange, Some(&route), reply);
    }
    for policy in &route.policies {
        let outcome = match policy {
            Policy::Fault(fault) => inject(fault, &parts, &exchange).await,
            Policy::Cors(cors) => match cors.decide(&RequestView::of(&parts), fastrand::u64(..)) {
                CorsOutcome::Pass => Ok(()),
                CorsOutcome::Annotate(origin) => {
                    annotate = Some((cors, origin));
                    Ok(())
                }
                CorsOutcome::Answer(response) => return local(&worker, &connection, exchange, Some(&route), response),
            },
            Policy::RequestHeaders(edits) => {
                edits.apply(&mut parts.headers);
                Ok(())
            }
            Policy::Rewrite(rewrite) => {
                rewrite.apply(&mut parts, &route.matcher).map_err(|refusal| of_refusal(&refusal))
            }
            // One acts on the way back, the other where the request goes out.
            Policy::ResponseHeaders(_) | Policy::Mirror(_) => Ok(()),
        };
        if let Err(reply) = outcome {
            return answer(&worker, &connection, exchange, Some(&route), reply);
        }
    }

    let mut response = match &route.action {
        Action::Redirect(redirect) => {
            exchange.details = "direct_response".into();
            let response = redirect.response(&RequestView::of(&parts), &route.matcher);
            local(&worker, &connection, exchange, Some(&route), response)
        }
        Action::DirectResponse(direct) => {
            exchange.details = "direct_response".into();
            own(&worker, &connection, exchange, Some(&route), direct.response())
        }
        Action::Forward(forward) => {
            let mirrors = route.mirrors(|| fastrand::u64(..)).collect();
            let outgoing = forward::Outgoing { parts, spelling, body, upgrade, mirrors };
            match forward::forward(&worker, &connection, &mut exchange, forward, outgoing).await {
                Ok(forwarded) => finish_forwarded(&worker, &connection, exchange, &route, forwarded),
                Err(reply) => answer(&worker, &connection, exchange, Some(&route), reply),
            }
        }
    };
    if let Some((cors, origin)) = annotate {
        cors.annotate(&origin, response.headers_mut());
    }
    response
}

/// Makes of the head what policies, route and upstream all see: one authority, a normal path, no headers that nobody
/// may send, and what a proxy has to add.
fn prepare(
    worker: &Worker,
    connection: &Connection,
    parts: &mut Parts,
    upgrade: bool,
) -> Result<(), validate::Refusal> {
    let settings = &connection.settings;
    one_authority(parts)?;
    let authority = RequestView::of(parts).authority;
    let wanted = settings.host.authority(authority, connection.original_dst.port());
    if *wanted != *authority
        && let Ok(host) = HeaderValue::from_str(&wanted)
    {
        parts.headers.insert(HOST, host);
    }
    if let Some(path) = changed_path(settings, parts)? {
        rewrite::set_path(parts, path)?;
    }
    let headers = &mut parts.headers;
    let switches = headers.get(UPGRADE).is_some_and(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"));
    if switches && !upgrade && !connection.http2 {
        return Err(validate::Refusal::new(StatusCode::FORBIDDEN, "upgrade_failed"));
    }
    // The server side answers it when the body is asked for.
    headers.remove(EXPECT);
    forwarded::strip_hop_by_hop(headers, upgrade);
    forwarded::strip_untrusted(headers);
    headers.remove(NOT_PROCESSED);
    headers.remove(HTTP1);
    if settings.use_remote_address && settings.append_forwarded_for {
        forwarded::append_forwarded_for(headers, connection.remote.ip());
    }
    let tls = connection.security == Security::MutualTls;
    forwarded::set_forwarded_proto(headers, tls, settings.use_remote_address);
    if settings.generate_request_id {
        forwarded::ensure_request_id(headers, || fastrand::u128(..));
    }
    let peer = connection.principal.as_deref().map(|uri| forwarded::ClientCert {
        by: &worker.handover.own.principal,
        hash: connection.certificate_hash.as_deref().unwrap_or_default(),
        subject: settings.client_cert_subject.then_some(""),
        uri,
    });
    forwarded::client_cert(headers, settings.client_cert_header, peer);
    Ok(())
}

/// The authority of an absolute target or of `:authority` becomes the `Host` header, so that there is one.
fn one_authority(parts: &mut Parts) -> Result<(), validate::Refusal> {
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_| validate::Refusal::new(StatusCode::BAD_REQUEST, "http1.codec_error"))?;
    parts.headers.insert(HOST, host);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    parts.uri = path.into();
    Ok(())
}

fn changed_path(settings: &HttpSettings, parts: &Parts) -> Result<Option<http::uri::PathAndQuery>, validate::Refusal> {
    let path = settings.path.path(parts.uri.path())?;
    if *path == *parts.uri.path() {
        return Ok(None);
    }
    let text = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    http::uri::PathAndQuery::try_from(text)
        .map(Some)
        .map_err(|_| validate::Refusal::new(StatusCode::BAD_REQUEST, "path_normalization_failed"))
}

fn find_route(worker: &Worker, settings: &HttpSettings, parts: &Parts) -> Result<Arc<Route>, Reply> {
    let tables = worker.handover.tables.load();
    let table: &RouteTable = match &settings.routes {
        RouteSource::Inline(table) => table,
        RouteSource::Named(name) => match tables.routes.get(name).map(Known::present) {
            Some(Some(table)) => table,
            _ => return Err(no_route(format!("the route configuration {name:?} is not known"))),
        },
    };
    table.decide(&RequestView::of(parts), fastrand::u64(..)).cloned().map_err(|none| no_route(none.to_string()))
}

fn no_route(why: String) -> Reply {
    tracing::debug!(%why, "a request has no route");
    Reply::new(StatusCode::NOT_FOUND, ResponseFlags::NR, "route_not_found", "")
}

/// Delays, then perhaps aborts; both are decided before the delay, as the policy says.
async fn inject(fault: &Fault, parts: &Parts, exchange: &Exchange) -> Result<(), Reply> {
    let injected = fault.decide(&RequestView::of(parts), fastrand::u64(..), fastrand::u64(..));
    if let Some(delay) = injected.delay {
        exchange.flag(ResponseFlags::DI);
        tokio::time::sleep(delay).await;
    }
    match injected.abort {
        None => Ok(()),
        Some(Abort::Http(status)) => {
            Err(Reply::new(status, ResponseFlags::FI, "fault_filter_abort", "fault filter abort"))
        }
        Some(Abort::Grpc(status)) => {
            let mut reply = Reply::new(StatusCode::OK, ResponseFlags::FI, "fault_filter_abort", "fault filter abort");
            reply.grpc_status = Some(status);
            Err(reply)
        }
    }
}

/// What came back from the upstream, with its head made fit to go on.
fn finish_forwarded(
    worker: &Worker,
    connection: &Connection,
    exchange: Exchange,
    route: &Route,
    forwarded: forward::Forwarded,
) -> Response<ResponseBody> {
    let forward::Forwarded { response, held, deadline, switched } = forwarded;
    let (mut parts, mut body) = response.into_parts();
    let spelling = body.spelling();
    forwarded::strip_hop_by_hop(&mut parts.headers, switched);
    parts.headers.remove(NOT_PROCESSED);
    parts.headers.remove(HTTP1);
    parts.version = Version::HTTP_11;
    let ours = match &connection.settings.server_header {
        ServerHeader::Overwrite(ours) => Some(ours),
        ServerHeader::AppendIfAbsent(ours) if !parts.headers.contains_key(SERVER) => Some(ours),
        ServerHeader::AppendIfAbsent(_) | ServerHeader::PassThrough => None,
    };
    if let Some(ours) = ours {
        parts.headers.insert(SERVER, ours.clone());
    }
    for_the_downstream(worker, connection, Some(route), &mut parts.headers, switched);
    let head = ResponseHead::of(&parts, exchange.grpc);
    let body = if switched {
        ResponseBody::switching(body, exchange, head)
    } else {
        ResponseBody::upstream(body, spelling, exchange, head, held, deadline)
    };
    Response::from_parts(parts, body)
}

/// The last edits of a response, whoever wrote it.
fn for_the_downstream(
    worker: &Worker,
    connection: &Connection,
    route: Option<&Route>,
    headers: &mut http::HeaderMap,
    switched: bool,
) {
    for policy in route.iter().flat_map(|route| &route.policies) {
        if let Policy::ResponseHeaders(edits) = policy {
            edits.apply(headers);
        }
    }
    let draining = connection.direction == Direction::Inbound && *worker.handover.phase.borrow() >= Phase::Draining;
    if (draining || connection.chain.retired.is_set()) && !switched && !connection.http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn refuse(
    worker: &Worker,
    connection: &Connection,
    exchange: Exchange,
    refusal: &validate::Refusal,
) -> Response<ResponseBody> {
    worker.handover.stats.invalid_requests.with(&[refusal.details]).inc();
    if let Some(location) = &refusal.location
        && let Ok(location) = HeaderValue::from_str(location)
    {
        let mut response = Response::new(());
        *response.status_mut() = refusal.status;
        response.headers_mut().insert(http::header::LOCATION, location);
        return local(worker, connection, exchange, None, response);
    }
    let mut response = answer(worker, connection, exchange, None, of_refusal(refusal));
    // Whatever follows on this connection may be the rest of something that was read in two ways.
    if !connection.http2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to bytes that are no request that we serve.
pub fn malformed(worker: &Rc<Worker>, connection: &Rc<Connection>, malformed: Malformed) -> Response<ResponseBody> {
    let exchange = Exchange::unread(worker, connection);
    refuse(worker, connection, exchange, &validate::Refusal::new(malformed.status, malformed.details))
}

fn of_refusal(refusal: &validate::Refusal) -> Reply {
    let text = format!("{}: {}", refusal.status.canonical_reason().unwrap_or("refused"), refusal.details);
    Reply::new(refusal.status, ResponseFlags::DPE, refusal.details, text)
}

fn answer(
    worker: &Worker,
    connection: &Connection,
    mut exchange: Exchange,
    route: Option<&Route>,
    reply: Reply,
) -> Response<ResponseBody> {
    exchange.flag(reply.flags);
    exchange.details = reply.details.clone();
    let grpc = exchange.grpc;
    let mut response = reply.into_response(grpc);
    // Only another sidecar may learn that the application saw nothing.
    if connection.direction == Direction::Outbound || connection.principal.is_none() {
        response.headers_mut().remove(NOT_PROCESSED);
    }
    own(worker, connection, exchange, route, response)
}

fn local(
    worker: &Worker,
    connection: &Connection,
    exchange: Exchange,
    route: Option<&Route>,
    response: Response<()>,
) -> Response<ResponseBody> {
    own(worker, connection, exchange, route, response.map(|()| Bytes::new()))
}

fn own(
    worker: &Worker,
    connection: &Connection,
    exchange: Exchange,
    route: Option<&Route>,
    response: Response<Bytes>,
) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    if let ServerHeader::Overwrite(ours) | ServerHeader::AppendIfAbsent(ours) = &connection.settings.server_header {
        parts.headers.insert(SERVER, ours.clone());
    }
    for_the_downstream(worker, connection, route, &mut parts.headers, false);
    let head = ResponseHead::of(&parts, exchange.grpc);
    Response::from_parts(parts, ResponseBody::own(body, exchange, head))
}
