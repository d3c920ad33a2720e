//! The chart of a benchmark run: one bar per aim, as plain SVG that adapts to light and dark.
//!
//! Each bar's length is the measured share of its aim, so that one line down the chart is every row's aim. Rows
//! without an aim are only in the table. Written by hand: a chart library would be the largest crate of this program.

use std::fmt::Write;

use crate::bench::{AimKind, Report, Row, number};

const WIDTH: f64 = 1040.0;
const ROW: f64 = 30.0;
const SECTION: f64 = 34.0;
const HEAD: f64 = 96.0;
const FOOT: f64 = 44.0;
/// Where bars begin.
const LEFT: f64 = 356.0;
/// Where measured values and aims end.
const VALUES: f64 = 800.0;
const AIMS: f64 = WIDTH - 24.0;
/// The length of a bar that is exactly its aim.
const AIM: f64 = 220.0;
/// Bars end here, however much they are beyond the aim.
const SHARE_MAX: f64 = 1.45;

const STYLE: &str = "
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 19px; font-weight: 600 } .section { font-weight: 600 }
    .soft { fill: #59636e; font-size: 12.5px } .right { text-anchor: end } .middle { text-anchor: middle }
    .paper { fill: #ffffff } .rail { fill: #eff2f5 } .aim { stroke: #1f2328; stroke-width: 1.5 }
    .met { fill: #2a78c5 } .missed { fill: #d9731a } text.missed { fill: #b25600; font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .soft { fill: #9198a1 } .paper { fill: #0d1117 } .rail { fill: #1c2430 }
      .aim { stroke: #e6edf3 } .met { fill: #4493e0 } .missed { fill: #e08a3c } text.missed { fill: #f0a860 }
    }
";

/// Draws the report.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    for section in &report.sections {
        let rows: Vec<&Row> = section.rows.iter().filter(|row| row.aim.is_some()).collect();
        if rows.is_empty() {
            continue;
        }
        line(&mut body, &text(24.0, y + 21.0, "section", &section.name));
        y += SECTION;
        for row in rows {
            bar(&mut body, row, y);
            y += ROW;
        }
    }
    let aim = LEFT + AIM;
    let machine = &report.machine;
    let place = format!("{}, {} cores of {}, commit {}", machine.date, machine.cores, machine.cpu, machine.commit);
    let height = y + FOOT;

    let mut svg = String::new();
    line(&mut svg, &format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">"#));
    line(&mut svg, "  <title>Keyherald: measured against its aims</title>");
    line(&mut svg, &format!("  <style>{STYLE}  </style>"));
    line(&mut svg, &format!(r#"  <rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>"#));
    line(&mut svg, &text(24.0, 36.0, "title", "Measured against the aims"));
    line(&mut svg, &text(24.0, 58.0, "soft", &place));
    line(&mut svg, &text(aim, HEAD - 8.0, "soft middle", "aim"));
    svg.push_str(&body);
    line(&mut svg, &format!(r#"  <line class="aim" x1="{aim}" x2="{aim}" y1="{HEAD}" y2="{}"/>"#, y + 4.0));
    let reading =
        "A bar is the measured share of its aim: an aim with ≥ should reach the line, one with ≤ should not pass it.";
    line(&mut svg, &text(24.0, y + 28.0, "soft", reading));
    line(&mut svg, "</svg>");
    svg
}

fn bar(body: &mut String, row: &Row, y: f64) {
    let Some((share, met)) = row.share_of_aim() else { return };
    let class = if met { "met" } else { "missed" };
    let rail = AIM * SHARE_MAX;
    let length = AIM * share.clamp(0.0, SHARE_MAX);
    line(body, &text(24.0, y + 16.0, "", &row.name));
    line(body, &format!(r#"  <rect class="rail" x="{LEFT}" y="{}" width="{rail}" height="16" rx="3"/>"#, y + 3.0));
    line(
        body,
        &format!(r#"  <rect class="{class}" x="{LEFT}" y="{}" width="{length:.1}" height="16" rx="3"/>"#, y + 3.0),
    );
    line(body, &text(VALUES, y + 16.0, "right", &format!("{} {}", number(row.value), row.unit)));
    let sign = if row.aim_kind == AimKind::AtLeast { "≥" } else { "≤" };
    let aim = row.aim.map(number).unwrap_or_default();
    let aim = match row.ratio {
        Some(ratio) => format!("{ratio:.3}, aim {sign} {aim}"),
        None => format!("aim {sign} {aim} {}", row.unit),
    };
    let aim = if met { aim } else { format!("missed: {aim}") };
    line(body, &text(AIMS, y + 16.0, if met { "right" } else { "right missed" }, &aim));
}

fn text(x: f64, y: f64, class: &str, content: &str) -> String {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(r#"  <text class="{class}" x="{x}" y="{y}">{content}</text>"#)
}

fn line(to: &mut String, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(to, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tests::sample;

    #[test]
    fn every_aim_has_its_bar_and_a_missed_one_its_mark() {
        let svg = svg(&sample());
        assert_eq!(svg.matches("class=\"rail\"").count(), 7, "rows with an aim");
        assert_eq!(svg.matches("rect class=\"missed\"").count(), 2);
        assert!(svg.contains("p99 &amp; &lt;worst&gt;") && !svg.contains("<worst>"), "{svg}");
    }

    #[test]
    fn no_bar_leaves_the_chart() {
        let longest = AIM * SHARE_MAX;
        for width in svg(&sample()).split("width=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let width: f64 = width.parse().unwrap();
            assert!(width <= longest || width == WIDTH, "{width}");
        }
    }
}
