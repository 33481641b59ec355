//! Figures of several rounds: median with the smallest and the largest, ratios taken round by
//! round, and the raw ones appended to `target/bench/<benchmark>.json`, one object per line.

use std::{fs::OpenOptions, io::Write as _, path::Path};

use anyhow::Result;
use serde_json::Value;

/// One figure per round.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Series(pub Vec<f64>);

impl Series {
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    #[must_use]
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[length / 2],
            length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
        }
    }

    /// This divided by the other, of the same rounds.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// `median (min–max)`.
    #[must_use]
    pub fn show(&self, decimals: usize) -> String {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(only), Some(_)) if sorted.len() == 1 => format!("{only:.decimals$}"),
            (Some(least), Some(most)) => format!(
                "{:.decimals$} ({least:.decimals$}–{most:.decimals$})",
                self.median()
            ),
            _ => "–".to_owned(),
        }
    }
}

/// Appends raw figures.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(folder: &Path, benchmark: &str, figures: &Value) -> Result<()> {
    let path = folder.join(format!("{benchmark}.json"));
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let line = serde_json::json!({ "at": jiff::Timestamp::now().to_string(), "figures": figures });
    writeln!(file, "{line}")?;
    Ok(())
}

/// A Markdown table.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = line(&head);
    text.push_str(&line(&vec!["---".to_owned(); head.len()]));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_ratio() {
        let ours = Series(vec![3.0, 1.0, 2.0]);
        let floor = Series(vec![1.0, 1.0, 2.0]);
        assert_eq!(ours.show(1), "2.0 (1.0–3.0)");
        assert_eq!(ours.over(&floor).show(1), "1.0 (1.0–3.0)");
        assert_eq!(Series(vec![1.0, 2.0]).show(1), "1.5 (1.0–2.0)");
    }
}
