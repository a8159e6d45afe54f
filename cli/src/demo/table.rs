//! The table: one line an edge. A pure function of what the hub says.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use hub::{Edge, Report, Share};

/// The figures as text, in the hub's order; cells wrap where the table would be wider than `width`.
pub fn render(report: &Report, width: Option<u16>) -> String {
    if report.edges.is_empty() {
        return "no requests yet\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.set_header(["edge", "protocol", "requests/s", "success", "p50", "p99", "mTLS", "versions: wanted → seen"]);
    for edge in &report.edges {
        table.add_row(row(edge, report.seconds));
    }
    for figure in 2..=5 {
        if let Some(column) = table.column_mut(figure) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

fn row(edge: &Edge, seconds: f64) -> [String; 8] {
    let rate = if seconds > 0.0 { edge.requests as f64 / seconds } else { 0.0 };
    [
        format!("{} → {}", edge.source, edge.destination),
        edge.protocol.clone(),
        format!("{rate:.1}"),
        percent(edge.success_rate),
        millis(edge.p50_ms),
        millis(edge.p99_ms),
        mtls(edge.mtls).to_owned(),
        edge.shares.iter().map(share).collect::<Vec<_>>().join("  "),
    ]
}

/// All of it reads 100 %; what is not all of it never does.
fn percent(share: f64) -> String {
    if share < 1.0 { format!("{:.1} %", (share * 100.0).min(99.9)) } else { "100 %".to_owned() }
}

fn millis(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(figure) if figure >= 1000.0 => format!("{:.2} s", figure / 1000.0),
        Some(figure) => format!("{figure:.1} ms"),
    }
}

fn mtls(mtls: Option<bool>) -> &'static str {
    match mtls {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

fn share(share: &Share) -> String {
    let wanted = share.wanted.map_or_else(|| "-".to_owned(), |wanted| format!("{:.0} %", wanted * 100.0));
    format!("{} {wanted} → {:.1} %", share.version, share.observed * 100.0)
}

#[cfg(test)]
mod tests {
    use super::{percent, render};
    use hub::{Edge, Report, Share};

    fn edge() -> Edge {
        Edge {
            source: "frontend".to_owned(),
            destination: "catalog".to_owned(),
            protocol: "http".to_owned(),
            requests: 150,
            success_rate: 1.0,
            p50_ms: Some(2.34),
            p99_ms: Some(2010.0),
            mtls: Some(true),
            shares: vec![
                Share { version: "v1".to_owned(), wanted: Some(0.9), observed: 0.893 },
                Share { version: "v2".to_owned(), wanted: Some(0.1), observed: 0.107 },
            ],
        }
    }

    #[test]
    fn an_edge_is_one_line_with_all_its_figures() {
        let text = render(&Report { seconds: 10.0, edges: vec![edge()] }, None);
        let line = text.lines().find(|line| line.contains("frontend → catalog")).unwrap_or_default();
        for figure in ["http", "15.0", "100 %", "2.3 ms", "2.01 s", "yes", "v1 90 % → 89.3 %  v2 10 % → 10.7 %"] {
            assert!(line.contains(figure), "no {figure:?} in {line:?}");
        }
    }

    #[test]
    fn one_failure_among_many_is_not_rounded_away() {
        assert_eq!(percent(0.999_99), "99.9 %");
        assert_eq!(percent(1.0), "100 %");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let silent = Edge { p50_ms: None, p99_ms: None, mtls: None, shares: Vec::new(), ..edge() };
        let text = render(&Report { seconds: 0.0, edges: vec![silent] }, None);
        assert!(text.contains(" - ") && text.contains("0.0"), "{text}");
        assert!(render(&Report { seconds: 1.0, edges: Vec::new() }, None).contains("no requests yet"));
    }

    #[test]
    fn a_narrow_terminal_sees_every_column() {
        let text = render(&Report { seconds: 10.0, edges: vec![edge()] }, Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("mTLS") && text.contains("yes") && text.contains("v1"), "{text}");
    }
}
