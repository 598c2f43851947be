//! Prints all that is known of the errors as one JSON object: what `scripts/generate-errors.mjs` makes
//! the TypeScript table, its classes and `docs/ERRORS.md` from.

use serde_json::{Value, json};
use stt_wire::codes::{
    ERROR_TABLE,
    reference::{Check, REASON_REFERENCE, REFERENCE, SUBCODE_REFERENCE, Step},
};

fn steps(steps: &[Step]) -> Value {
    steps.iter().map(|step| json!({ "by": step.by.name(), "text": step.text })).collect()
}

fn checks(checks: &[Check]) -> Value {
    checks.iter().map(|check| json!({ "command": check.command, "shows": check.shows })).collect()
}

fn main() {
    let codes: Vec<Value> = ERROR_TABLE
        .iter()
        .zip(&REFERENCE)
        .map(|(info, page)| {
            json!({
                "code": info.code.as_u16(),
                "codeName": info.name,
                "className": info.class_name,
                "category": info.code.category().name(),
                "recoverable": info.recoverable,
                "recovery": info.action.name(),
                "advice": info.recovery_phrase,
                "meaning": page.meaning,
                "causes": page.causes,
                "checks": checks(page.checks),
                "steps": steps(page.recovery),
            })
        })
        .collect();
    let subcodes: Vec<Value> = SUBCODE_REFERENCE
        .iter()
        .map(|page| {
            json!({
                "subcode": page.subcode as u8,
                "name": page.subcode.name(),
                "recovery": page.action.name(),
                "meaning": page.meaning,
                "causes": page.causes,
                "checks": checks(page.checks),
                "steps": steps(page.recovery),
            })
        })
        .collect();
    let reasons: Vec<Value> = REASON_REFERENCE
        .iter()
        .map(|page| {
            json!({
                "reason": page.reason.name(),
                "number": page.reason as u8,
                "recovery": page.action.name(),
                "meaning": page.meaning,
                "causes": page.causes,
                "checks": checks(page.checks),
                "steps": steps(page.recovery),
            })
        })
        .collect();
    println!("{}", json!({ "codes": codes, "subcodes": subcodes, "reasons": reasons }));
}
