//! ACK: the shape of RFC 9000 §19.3, with ECN counts always present behind a flag byte.
//!
//! | field | encoding |
//! | --- | --- |
//! | largest acknowledged | varint |
//! | delay, microseconds | varint |
//! | number of further ranges | varint |
//! | first range: packets below the largest | varint |
//! | for each further range: gap, length, as RFC 9000 §19.3.1 | varint, varint |
//! | 1 when ECN counts follow, else 0 | u8 |
//! | ECT(0), ECT(1), CE counts | varint each |

use core::ops::RangeInclusive;

use super::FrameError;
use crate::{
    reader::Reader,
    varint::VarInt,
    writer::{NoRoom, Writer},
};

/// How often each ECN codepoint arrived on the path of the largest acknowledged packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EcnCounts {
    /// ECT(0).
    pub ect0: u64,
    /// ECT(1).
    pub ect1: u64,
    /// Congestion experienced.
    pub ce: u64,
}

/// A checked ACK whose ranges are read from the packet as they are asked for.
#[derive(Clone, Debug)]
pub struct AckView<'a> {
    /// The largest packet number acknowledged.
    pub largest: u64,
    /// Microseconds between its arrival and this ACK.
    pub delay_us: u64,
    /// ECN counts, where the path reports them.
    pub ecn: Option<EcnCounts>,
    first_range: u64,
    further: &'a [u8],
}

impl<'a> AckView<'a> {
    pub(super) fn read(input: &mut Reader<'a>) -> Result<Self, FrameError> {
        let largest = input.varint()?;
        let delay_us = input.varint()?;
        let count = input.varint()?;
        let first_range = input.varint()?;
        let start = input.peek_rest();
        let mut smallest = largest.checked_sub(first_range).ok_or(FrameError::Value)?;
        // Each range takes at least two bytes, so the packet's length bounds this loop.
        for _ in 0..count {
            let gap = input.varint()?;
            let len = input.varint()?;
            smallest = range_below(smallest, gap, len)
                .map(|range| *range.start())
                .ok_or(FrameError::Value)?;
        }
        let further = &start[..start.len() - input.remaining()];
        let ecn = match input.u8()? {
            0 => None,
            1 => Some(EcnCounts {
                ect0: input.varint()?,
                ect1: input.varint()?,
                ce: input.varint()?,
            }),
            _ => return Err(FrameError::Value),
        };
        Ok(Self { largest, delay_us, ecn, first_range, further })
    }

    /// The acknowledged numbers, in ranges from the largest down. They do not touch each other.
    #[must_use]
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges {
            next: Some(self.largest.saturating_sub(self.first_range)..=self.largest),
            further: Reader::new(self.further),
        }
    }
}

/// See [`AckView::ranges`].
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    next: Option<RangeInclusive<u64>>,
    further: Reader<'a>,
}

impl Iterator for AckRanges<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        let current = self.next.take()?;
        if let (Ok(gap), Ok(len)) = (self.further.varint(), self.further.varint()) {
            self.next = range_below(*current.start(), gap, len);
        }
        Some(current)
    }
}

/// RFC 9000 §19.3.1: `gap` is one less than the packets missing, `len` one less than those present.
fn range_below(smallest: u64, gap: u64, len: u64) -> Option<RangeInclusive<u64>> {
    let end = smallest.checked_sub(gap)?.checked_sub(2)?;
    Some(end.checked_sub(len)?..=end)
}

/// Writes an ACK of as many of the newest ranges as fit. `ranges` run from the largest down and do
/// not touch each other.
///
/// # Errors
/// [`NoRoom`] when not even the first range fits, or when there is none; nothing is written then.
pub fn write_ack(
    out: &mut Writer<'_>,
    delay_us: u64,
    mut ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ecn: Option<EcnCounts>,
) -> Result<(), NoRoom> {
    let start = out.len();
    let written = write_ranges(out, delay_us, &mut ranges, ecn);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_ranges(
    out: &mut Writer<'_>,
    delay_us: u64,
    ranges: &mut impl Iterator<Item = RangeInclusive<u64>>,
    ecn: Option<EcnCounts>,
) -> Result<(), NoRoom> {
    // Two bytes, patched at the end: more ranges than that do not fit a packet's worth of use.
    const COUNT_LEN: usize = 2;
    const MAX_FURTHER: u16 = 0x3FFF;
    let first = ranges.next().ok_or(NoRoom)?;
    out.varint(*first.end())?;
    out.varint(delay_us)?;
    let count_at = out.len();
    out.reserve(COUNT_LEN)?;
    out.varint(first.end() - first.start())?;
    let tail = ecn.map_or(1, |counts| {
        1 + [counts.ect0, counts.ect1, counts.ce]
            .map(|count| VarInt::saturating(count).encoded_len())
            .iter()
            .sum::<usize>()
    });
    let mut smallest = *first.start();
    let mut further = 0_u16;
    for range in ranges {
        let (Some(gap), Some(len)) = (
            smallest.checked_sub(*range.end()).and_then(|distance| distance.checked_sub(2)),
            range.end().checked_sub(*range.start()),
        ) else {
            break;
        };
        let needed = VarInt::saturating(gap).encoded_len() + VarInt::saturating(len).encoded_len();
        if out.remaining() < needed + tail || further == MAX_FURTHER {
            break;
        }
        out.varint(gap)?;
        out.varint(len)?;
        smallest = *range.start();
        further += 1;
    }
    let count = &mut out.written_mut()[count_at..count_at + COUNT_LEN];
    count.copy_from_slice(&(0x4000 | further).to_be_bytes());
    match ecn {
        None => out.u8(0),
        Some(counts) => {
            out.u8(1)?;
            out.varint(counts.ect0)?;
            out.varint(counts.ect1)?;
            out.varint(counts.ce)
        }
    }
}
