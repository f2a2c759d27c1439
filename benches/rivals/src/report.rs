//! The table and the chart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use plotters::prelude::*;

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
        let root = SVGBackend::new(path, (900, 260 * Case::ALL.len() as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, case) in root.split_evenly((Case::ALL.len(), 1)).iter().zip(Case::ALL) {
            let rates: Vec<(Contender, f64)> = Contender::ALL
                .into_iter()
                .filter(|contender| *contender != Contender::Sha256)
                .map(|contender| {
                    (contender, self.spread(case.bytes, contender, Figures::mib_per_second).median)
                })
                .collect();
            let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.15;
            let mut chart = ChartBuilder::on(area)
                .caption(format!("Blocks of {} KiB: MiB/s", case.bytes >> 10), ("sans-serif", 16))
                .margin(8)
                .x_label_area_size(24)
                .y_label_area_size(4)
                .build_cartesian_2d(0.0..most, 0..rates.len() as i32)?;
            chart.configure_mesh().disable_y_mesh().disable_y_axis().draw()?;
            for (place, (contender, rate)) in (0..).zip(&rates) {
                let ours = matches!(contender, Contender::OursTogether | Contender::Ours64);
                let colour = if ours { RGBColor(0, 114, 178) } else { RGBColor(170, 170, 170) };
                let row = rates.len() as i32 - 1 - place;
                chart.draw_series([Rectangle::new(
                    [(0.0, row), (*rate, row + 1)],
                    colour.filled(),
                )])?;
                let label = format!("{}: {rate:.0}", contender.name());
                chart.draw_series([Text::new(
                    label,
                    (most * 0.01, row + 1),
                    ("sans-serif", 14),
                )])?;
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
