//! The one table, for the terminal and as Markdown: medians and spread of each peer, our ratios, the goals.

use crate::loads::{Figure, Goal, Load};
use crate::peers::PEERS;
use crate::report::{Cell, Results};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use std::fmt::Write;

/// Peers to which ours is compared in a column of its own.
const COMPARED: [&str; 2] = ["envoy", "haproxy"];

/// For the terminal.
pub fn terminal(results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header(results));
    for row in rows(results, "\n") {
        table.add_row(row);
    }
    format!("{}\n{table}\n{}", about(results).join("\n"), notes(results).join("\n"))
}

/// To paste into a document.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let header = header(results);
    let rule = vec!["---".to_owned(); header.len()];
    for about in about(results) {
        let _ = writeln!(text, "- {about}");
    }
    text.push('\n');
    text.push_str(&line(&header));
    text.push_str(&line(&rule));
    for row in rows(results, "<br>") {
        text.push_str(&line(&row));
    }
    text.push('\n');
    for note in notes(results) {
        let _ = writeln!(text, "- {note}");
    }
    text
}

fn about(results: &Results) -> Vec<String> {
    let machine = &results.machine;
    let mut lines = vec![
        format!("{}, {} cores, Linux {}", machine.cpu, machine.cores, machine.kernel),
        format!(
            "median of {} runs (least–greatest), CPU time of both proxies as user + kernel; {} s each, peers in turn",
            results.wanted, results.seconds
        ),
    ];
    lines.extend(results.peers.iter().map(|(peer, version)| format!("{}: {version}; {}", peer.name, peer.about)));
    lines
}

fn header(results: &Results) -> Vec<String> {
    let mut header = vec!["work".to_owned(), "unit".to_owned()];
    header.extend(results.peers.iter().map(|(peer, _)| peer.name.to_owned()));
    header.extend(COMPARED.map(|peer| format!("ours ÷ {peer}")));
    header.extend(["goal".to_owned(), "met".to_owned()]);
    header
}

fn rows(results: &Results, newline: &str) -> Vec<Vec<String>> {
    let figures = results.loads.iter().flat_map(|load| load.figures.iter().map(move |figure| (load, figure)));
    figures.map(|(load, figure)| row(results, load, figure, newline)).collect()
}

fn row(results: &Results, load: &Load, figure: &Figure, newline: &str) -> Vec<String> {
    let mut row = vec![figure.name.to_owned(), figure.unit.to_owned()];
    for (peer, _) in &results.peers {
        let text = results.cell(peer.name, figure.name).map_or_else(|| "-".to_owned(), |cell| cell_text(cell, newline));
        let failed = results.failures(peer.name, load.name);
        row.push(match failed {
            Some((count, _)) => format!("{text}{newline}{count} FAILED"),
            None => text,
        });
    }
    let ours = |other| ratio(results, figure, other);
    row.extend(COMPARED.map(|peer| ours(peer).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))));
    row.push(goal_text(figure.goal));
    row.push(match met(results, figure) {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => "-".to_owned(),
    });
    row
}

fn cell_text(cell: Cell, newline: &str) -> String {
    let summary = cell.summary;
    let (median, min, max) = (number(summary.median), number(summary.min), number(summary.max));
    let split =
        cell.split.map(|(user, system)| format!("{newline}{} + {}", number(user), number(system))).unwrap_or_default();
    if summary.min == summary.max { format!("{median}{split}") } else { format!("{median} ({min}–{max}){split}") }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn ratio(results: &Results, figure: &Figure, other: &str) -> Option<f64> {
    let ours = results.cell(PEERS[0].name, figure.name)?.summary.median;
    let theirs = results.cell(other, figure.name)?.summary.median;
    (theirs > 0.0).then(|| ours / theirs)
}

/// `None` where there is no goal or nobody to compare with.
fn met(results: &Results, figure: &Figure) -> Option<bool> {
    let all = |peers: &[(&str, f64)], fits: fn(f64, f64) -> bool| {
        let known = peers.iter().filter_map(|(peer, goal)| Some((ratio(results, figure, peer)?, *goal)));
        let fits: Vec<bool> = known.map(|(ratio, goal)| fits(ratio, goal)).collect();
        (!fits.is_empty()).then(|| fits.iter().all(|fits| *fits))
    };
    match figure.goal {
        Goal::None => None,
        Goal::Ratio(peers) => all(peers, |ratio, goal| ratio <= goal),
        Goal::AtLeast(peers) => all(peers, |ratio, goal| ratio >= goal),
        Goal::AtMost(most) => Some(results.cell(PEERS[0].name, figure.name)?.summary.median <= most),
    }
}

fn goal_text(goal: Goal) -> String {
    let each = |sign: &str, peers: &[(&str, f64)]| {
        let texts: Vec<String> = peers.iter().map(|(peer, ratio)| format!("{sign} {ratio} × {peer}")).collect();
        texts.join(", ")
    };
    match goal {
        Goal::None => String::new(),
        Goal::Ratio(peers) => each("≤", peers),
        Goal::AtLeast(peers) => each("≥", peers),
        Goal::AtMost(most) => format!("≤ {most}"),
    }
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes: Vec<String> = results.loads.iter().map(|load| format!("{}: {}", load.name, load.about)).collect();
    for load in &results.loads {
        for (peer, _) in &results.peers {
            if let Some((_, why)) = peer.lacks.iter().find(|(lacked, _)| *lacked == load.name) {
                notes.push(format!("{} takes no part in {}: {why}", peer.name, load.name));
            }
            if let Some((count, first)) = results.failures(peer.name, load.name) {
                notes.push(format!(
                    "{count} requests of {} through {} FAILED, the first: {first}",
                    load.name, peer.name
                ));
            }
        }
    }
    notes
}
