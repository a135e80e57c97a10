//! Faults at run time.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::Outbox;
use super::problem::Problem;
use crate::faults::{Fault, FaultView, MAGIC_NAMES, MagicName};

/// The faults in force and the magic names.
#[derive(Debug, Serialize)]
pub(super) struct List {
    faults: Vec<FaultView>,
    magic: &'static [MagicName],
}

fn all(outbox: &Outbox) -> Json<List> {
    Json(List { faults: outbox.faults.list(), magic: MAGIC_NAMES })
}

/// `GET /faults`.
pub(super) async fn list(State(outbox): State<Outbox>) -> Json<List> {
    all(&outbox)
}

/// `PUT /faults`: replaces all faults.
pub(super) async fn replace(
    State(outbox): State<Outbox>,
    body: Result<Json<Vec<Fault>>, JsonRejection>,
) -> Result<Json<List>, Problem> {
    let Json(faults) = body.map_err(|rejection| refuse(&rejection))?;
    outbox.faults.replace(faults).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(all(&outbox))
}

/// `POST /faults`: adds one.
pub(super) async fn add(
    State(outbox): State<Outbox>,
    body: Result<Json<Fault>, JsonRejection>,
) -> Result<Json<List>, Problem> {
    let Json(fault) = body.map_err(|rejection| refuse(&rejection))?;
    outbox.faults.add(fault).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(all(&outbox))
}

/// `DELETE /faults`.
pub(super) async fn clear(State(outbox): State<Outbox>) -> Result<Json<List>, Problem> {
    outbox.faults.replace(Vec::new()).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(all(&outbox))
}

/// `DELETE /faults/{id}`.
pub(super) async fn remove(
    State(outbox): State<Outbox>,
    Path(id): Path<String>,
) -> Result<Json<List>, Problem> {
    if outbox.faults.remove(&id) { Ok(all(&outbox)) } else { Err(Problem::not_found("no fault has this id")) }
}

fn refuse(rejection: &JsonRejection) -> Problem {
    Problem::with_status(rejection.status(), rejection.body_text())
}
