//! The loads: what is sent, what is measured of it, and what is aimed at. One file and one line each.

mod grpc;
mod grpc_stream;
mod handshake;
mod http1;
mod http2;
mod latency;
mod memory;
mod mib;
mod new_connection;
mod start;
mod tcp;

use crate::bed::Bed;
use crate::service::Service;
use crate::traffic::Report;

/// Every load; the table's rows have this order.
pub const LOADS: &[Load] = &[
    http1::LOAD,
    http2::LOAD,
    grpc::LOAD,
    grpc_stream::LOAD,
    mib::LOAD,
    tcp::LOAD,
    new_connection::LOAD,
    handshake::LOAD,
    latency::LOAD,
    memory::LOAD,
    start::LOAD,
];

/// One load.
#[derive(Debug)]
pub struct Load {
    /// As `--loads` names it.
    pub name: &'static str,
    /// What it does, for the table's notes.
    pub about: &'static str,
    /// What it measures.
    pub figures: &'static [Figure],
    /// Measures once.
    pub run: fn(&Stage<'_>) -> anyhow::Result<Sample>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Figure {
    /// Its name in the table and in JSON.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What is aimed at.
    pub goal: Goal,
}

/// What a figure of ours shall be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Shown for what it says about the others.
    None,
    /// At most so many times the figure of the peer, for every peer named.
    Ratio(&'static [(&'static str, f64)]),
    /// At least so many times the figure of the peer, for every peer named.
    AtLeast(&'static [(&'static str, f64)]),
    /// At most this.
    AtMost(f64),
}

/// Where and for how long one measurement is made.
pub struct Stage<'a> {
    /// The peer under load.
    pub bed: &'a Bed,
    /// How long each part is measured.
    pub seconds: f64,
}

/// What one run of a load has given.
#[derive(Debug, Default)]
pub struct Sample {
    /// Value by name of figure.
    pub values: Vec<(&'static str, Value)>,
    /// Requests that failed.
    pub failed: u64,
    /// What the first of these died of.
    pub first_failure: Option<String>,
    /// The share of their CPU that the proxies used where they should have had no rest.
    pub busy: Option<f64>,
}

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// In the figure's unit.
    pub value: f64,
    /// How much of it was user mode and how much the kernel, where it is CPU time.
    pub split: Option<(f64, f64)>,
}

impl Stage<'_> {
    /// Runs `bench load` with these flags for as long as the stage says.
    ///
    /// # Errors
    /// When it cannot run.
    pub fn load(&self, service: Service, flags: &str) -> anyhow::Result<Report> {
        let mut arguments: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        arguments.extend(["--seconds".to_owned(), self.seconds.to_string()]);
        arguments.extend(["--warm-up".to_owned(), self.seconds.min(1.0).to_string()]);
        self.bed.load(service, &arguments)
    }
}

impl Sample {
    /// Adds a figure.
    pub fn add(&mut self, figure: &'static str, value: f64) {
        self.values.push((figure, Value { value, split: None }));
    }

    /// Adds CPU time, divided by a number of requests, bytes or whatever, and what failed.
    pub fn add_cpu(&mut self, figure: &'static str, report: &Report, per: f64) {
        self.count_failures(report);
        let used = &report.used;
        let split = Some((used.user_us / per, used.system_us / per));
        self.values.push((figure, Value { value: used.cpu_us() / per, split }));
    }

    /// The same of a part in which the proxies should have had no rest.
    pub fn add_saturated(&mut self, figure: &'static str, report: &Report, per: f64) {
        self.add_cpu(figure, report, per);
        self.busy = Some(report.used.cpu_us() / 1e6 / report.seconds);
    }

    /// Adds what failed in a part of the run.
    pub fn count_failures(&mut self, report: &Report) {
        let nothing = (report.finished == 0).then(|| "nothing was finished".to_owned());
        self.failed += report.failed.max(u64::from(nothing.is_some()));
        self.first_failure = self.first_failure.take().or_else(|| report.first_failure.clone()).or(nothing);
    }
}
