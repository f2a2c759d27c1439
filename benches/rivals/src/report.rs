//! The table and the chart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contender::Contender;
use crate::measure::{Case, Figures};

/// What was measured.
#[derive(Debug, Default)]
pub struct Report {
    figures: BTreeMap<(usize, Contender), Vec<Figures>>,
}

/// Least, median and most of some values.
#[derive(Clone, Copy, Debug)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: &[Figures], value: impl Fn(&Figures) -> f64) -> Self {
        let mut values: Vec<f64> = figures.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

impl Report {
    pub fn add(&mut self, case: Case, contender: Contender, figures: Figures) {
        self.figures.entry((case.bytes, contender)).or_default().push(figures);
    }

    fn spread(
        &self,
        bytes: usize,
        contender: Contender,
        value: impl Fn(&Figures) -> f64,
    ) -> Spread {
        let figures = self.figures.get(&(bytes, contender)).map_or(&[][..], Vec::as_slice);
        Spread::of(figures, value)
    }

    /// The table. Rates are medians, with the least and the most; ratios are of medians.
    pub fn markdown(&self, rounds: usize) -> String {
        let mut text =
            format!("Medians of {rounds}, in brackets the least and the most. {}\n", machine());
        for case in Case::ALL {
            let bytes = case.bytes;
            let rate = |contender| self.spread(bytes, contender, Figures::mib_per_second).median;
            let (raw, best_rival) = (
                rate(Contender::Raw),
                [Contender::Litep2p64, Contender::Litep2p1000, Contender::RustIpfs64]
                    .map(rate)
                    .into_iter()
                    .fold(0.0, f64::max),
            );
            let _ = write!(
                text,
                "\n| blocks of {} KiB | MiB/s | blocks/s | CPU s/GiB | memory above the blocks, MiB | of the raw stream | of the best rival |\n\
                 | --- | --- | --- | --- | --- | --- | --- |\n",
                bytes >> 10
            );
            for contender in Contender::ALL {
                let mib = self.spread(bytes, contender, Figures::mib_per_second);
                let blocks = self.spread(bytes, contender, Figures::blocks_per_second).median;
                let cpu = self.spread(bytes, contender, Figures::cpu_seconds_per_gib).median;
                let memory = self.spread(bytes, contender, |figures| figures.memory_mib).median;
                let _ = writeln!(
                    text,
                    "| {} | {:.0} ({:.0} – {:.0}) | {blocks:.0} | {cpu:.2} | {memory:.0} | {:.2} | {:.2} |",
                    contender.name(),
                    mib.median,
                    mib.least,
                    mib.most,
                    mib.median / raw,
                    mib.median / best_rival,
                );
            }
        }
        text
    }

    /// Draws the rates as bars, one chart per block size.
    pub fn draw(&self, path: &Path) -> io::Result<()> {
        self.try_draw(path).map_err(|error| io::Error::other(error.to_string()))
    }

    fn try_draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        const WIDTH: i32 = 760;
        const ROW: i32 = 18;
        const NAMES: i32 = 180;
        const ABOVE: i32 = 30;
        let shown: Vec<Contender> = Contender::ALL
            .into_iter()
            .filter(|contender| *contender != Contender::Sha256)
            .collect();
        let height = ABOVE + shown.len() as i32 * ROW + 8;
        let size = (WIDTH as u32, height as u32 * Case::ALL.len() as u32);
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        for (place, case) in (0..).zip(Case::ALL) {
            let top = place * height;
            let title = format!("Blocks of {} KiB (MiB/s)", case.bytes >> 10);
            root.draw(&Text::new(title, (8, top + 8), text(14)))?;
            let rate =
                |of: &Contender| self.spread(case.bytes, *of, Figures::mib_per_second).median;
            let most = shown.iter().map(rate).fold(1.0, f64::max);
            for (row, contender) in (0..).zip(&shown) {
                let (y, rate) = (top + ABOVE + row * ROW, rate(contender));
                let beside = |side| text(12).pos(Pos::new(side, VPos::Center));
                let name = contender.name().to_owned();
                root.draw(&Text::new(name, (NAMES - 8, y + ROW / 2), beside(HPos::Right)))?;
                let end = NAMES + (rate / most * f64::from(WIDTH - NAMES - 60)) as i32;
                let ours = matches!(contender, Contender::OursTogether | Contender::Ours64);
                let colour = if ours { RGBColor(0, 114, 178) } else { RGBColor(170, 170, 170) };
                root.draw(&Rectangle::new([(NAMES, y + 2), (end, y + ROW - 2)], colour.filled()))?;
                let value = format!("{rate:.0}");
                root.draw(&Text::new(value, (end + 6, y + ROW / 2), beside(HPos::Left)))?;
            }
        }
        root.present()?;
        Ok(())
    }
}

/// What it ran on.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} cores of {}, two tokio workers.", model.unwrap_or("an unknown processor"))
}
