//! The tables that Rust and TypeScript must agree on, for the tests that compare them.

use napi_derive::napi;
use stt_wire::codes::ERROR_TABLE;
use stt_wire::{CloseReason, ErrorInfo};

/// One row of the closed table of errors.
#[napi(object, object_from_js = false)]
pub struct ErrorRow {
    pub code: u32,
    pub name: String,
    pub class_name: String,
    pub category: String,
    pub recoverable: bool,
    /// The error reference's own phrase on recovery.
    pub seed_phrase: String,
    /// What a program should do.
    pub recovery: String,
}

/// The closed table of errors, by ascending code.
#[napi(catch_unwind)]
pub fn error_table() -> Vec<ErrorRow> {
    let row = |info: &ErrorInfo| ErrorRow {
        code: u32::from(info.code as u16),
        name: info.name.to_owned(),
        class_name: info.class_name.to_owned(),
        category: info.code.category().name().to_owned(),
        recoverable: info.recoverable,
        seed_phrase: info.recovery_phrase.to_owned(),
        recovery: info.action.name().to_owned(),
    };
    ERROR_TABLE.iter().map(|info| row(info)).collect()
}

/// Names of the reasons a session ends for, by their number.
#[napi(catch_unwind)]
pub fn close_reasons() -> Vec<String> {
    CloseReason::ALL.iter().map(|reason| reason.name().to_owned()).collect()
}
