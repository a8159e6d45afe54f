//! The access log as an operator reads it: Istio's documented sample line, and what hostile values and
//! a failing disk do to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use record::access_log::{AccessLog, Entry};
use record::{Metrics, ResponseFlags};

/// 2020-11-25T21:26:18.409Z
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_606_339_578_409)
}

/// The server's line of istio.io, Tasks, Observability, "Getting Envoy's Access Logs".
const ISTIO_SAMPLE: &str = "[2020-11-25T21:26:18.409Z] \"GET /status/418 HTTP/1.1\" 418 - via_upstream - \"-\" \
0 135 3 1 \"-\" \"curl/7.73.0-DEV\" \"84961386-6d84-929d-98bd-c5aee93b5c88\" \"httpbin:8000\" \"127.0.0.1:80\" \
inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 \
outbound_.8000_._.httpbin.foo.svc.cluster.local default\n";

fn sample() -> Entry<'static> {
    Entry {
        method: Some("GET"),
        path: Some(b"/status/418"),
        protocol: Some("HTTP/1.1"),
        response_code: 418,
        response_code_details: Some("via_upstream"),
        bytes_sent: 135,
        duration: Duration::from_micros(3_900),
        upstream_service_time: Some(b"1"),
        user_agent: Some(b"curl/7.73.0-DEV"),
        request_id: Some(b"84961386-6d84-929d-98bd-c5aee93b5c88"),
        authority: Some(b"httpbin:8000"),
        upstream_host: Some("127.0.0.1:80".parse().unwrap()),
        upstream_cluster: Some("inbound|8000||"),
        upstream_local_address: Some("127.0.0.1:41854".parse().unwrap()),
        downstream_local_address: Some("10.44.1.27:80".parse().unwrap()),
        downstream_remote_address: Some("10.44.1.23:37652".parse().unwrap()),
        requested_server_name: Some("outbound_.8000_._.httpbin.foo.svc.cluster.local"),
        route_name: Some("default"),
        ..Entry::new(start())
    }
}

#[test]
fn a_request_reads_as_in_istios_documentation() {
    assert_eq!(sample().line(), ISTIO_SAMPLE);
}

#[test]
fn a_connection_that_failed_has_dashes_for_what_there_was_not() {
    let entry = Entry {
        response_flags: ResponseFlags::UF | ResponseFlags::URX,
        upstream_transport_failure_reason: Some("connection refused"),
        upstream_cluster: Some("outbound|9000||stock.shop.svc.cluster.local"),
        ..Entry::new(start())
    };
    assert_eq!(
        entry.line(),
        "[2020-11-25T21:26:18.409Z] \"- - -\" 0 UF,URX - - \"connection refused\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \
         \"-\" outbound|9000||stock.shop.svc.cluster.local - - - - -\n"
    );
}

#[test]
fn no_value_can_forge_a_line_or_a_field() {
    let entry = Entry {
        path: Some(b"/\n[2020-11-25T21:26:18.409Z] \"GET /forged"),
        user_agent: Some(b"\x1b[2J\xff\" 200 -"),
        requested_server_name: Some("a b\r\nc"),
        authority: Some(&[b'a'; 65_536]),
        ..sample()
    };
    let line = entry.line();
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    assert!(line.contains(r#""\x1b[2J\xff\" 200 -""#));
    assert!(line.contains(r" a_b\x0d\x0ac default"));
    assert!(line.len() < 2_500, "{}", line.len());
}

/// What the writer got, and a gate that holds it back.
#[derive(Clone, Default)]
struct File(Arc<(Mutex<FileState>, Condvar)>);

#[derive(Default)]
struct FileState {
    text: String,
    stalled: bool,
    full: bool,
}

impl File {
    fn set(&self, change: impl FnOnce(&mut FileState)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }
    fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.stalled).unwrap();
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const LONG: Duration = Duration::from_secs(20);

fn dropped(metrics: &Metrics) -> u64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with("meltemi_access_log_dropped_total")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn lines_are_written_in_order_and_flush_waits_for_them() {
    let (file, metrics) = (File::default(), Metrics::new());
    let log = AccessLog::new(Box::new(file.clone()), &metrics).unwrap();
    for code in [200, 404, 503] {
        log.clone().log(&Entry { response_code: code, ..sample() });
    }
    assert!(log.flush(LONG));
    let codes: Vec<String> = file.text().lines().map(|line| line.split(' ').nth(4).unwrap().into()).collect();
    assert_eq!(codes, ["200", "404", "503"]);
    assert_eq!(dropped(&metrics), 0);
}

#[test]
fn a_stalled_reader_costs_lines_and_never_blocks() {
    let (file, metrics) = (File::default(), Metrics::new());
    file.set(|state| state.stalled = true);
    let log = AccessLog::new(Box::new(file.clone()), &metrics).unwrap();
    for _ in 0..20_000 {
        log.log(&sample());
    }
    let lost = dropped(&metrics);
    assert!(lost > 0);
    file.set(|state| state.stalled = false);
    assert!(log.flush(LONG));
    assert_eq!(file.text().lines().count() as u64 + lost, 20_000);
    log.log(&sample());
    assert!(log.flush(LONG));
    assert_eq!(dropped(&metrics), lost, "there is room again");
}

#[test]
fn a_full_disk_costs_the_lines_it_had_no_room_for() {
    let (file, metrics) = (File::default(), Metrics::new());
    file.set(|state| state.full = true);
    let log = AccessLog::new(Box::new(file.clone()), &metrics).unwrap();
    log.log(&sample());
    assert!(log.flush(LONG));
    assert_eq!(dropped(&metrics), 1);
    file.set(|state| state.full = false);
    log.log(&sample());
    assert!(log.flush(LONG));
    assert_eq!(file.text(), ISTIO_SAMPLE);
}
