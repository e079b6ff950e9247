//! A batch on its way: its rows, what is known about it, and the request it sends next.

use crate::client::attempt::ApiRequest;
use crate::client::multipart;
use crate::client::odata;
use crate::client::presence;
use crate::client::request::{self, BulkMessage, Precondition};
use crate::pipeline::batch::encode::{self, BodyWriter};
use crate::pipeline::outcome::settle::Case;
use crate::pipeline::run::lines::RowEnd;
use crate::pipeline::run::plan::LoadPlan;
use crate::pipeline::send::message::Message;
use crate::record::chunk::RawChunk;
use crate::record::key::{BatchId, Ordinal};
use crate::record::outcome::{Operation, RowFault};
use crate::record::prepared::{PreparedChunk, PreparedRow};
use crate::runtime::budget::Share;
use crate::units::MonoTime;
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// A converted chunk with the memory it holds; goes when its last row is settled and shown.
#[derive(Debug)]
pub(super) struct HeldChunk {
    pub(super) prepared: PreparedChunk,
    pub(super) _share: Share,
}

/// One row of a held chunk.
#[derive(Clone, Debug)]
pub(super) struct RowRef {
    pub(super) chunk: Arc<HeldChunk>,
    pub(super) row: u32,
}

impl RowRef {
    pub(super) fn prepared(&self) -> &PreparedRow {
        &self.chunk.prepared.rows[self.row as usize]
    }
    pub(super) fn ordinal(&self) -> Ordinal {
        self.prepared().ordinal
    }
    pub(super) fn members(&self) -> &[u8] {
        self.chunk.prepared.members_of(self.row as usize)
    }
    pub(super) fn key(&self) -> &[u8] {
        self.chunk.prepared.key_of(self.row as usize)
    }
    pub(super) fn address(&self) -> &[u8] {
        self.chunk.prepared.address_of(self.row as usize)
    }
    pub(super) fn body<'a>(&'a self, plan: &LoadPlan) -> encode::RowRef<'a> {
        // Of a delete the mapping lets through the partition alone, which is part of the row's name.
        let members = self.members();
        encode::RowRef { id: plan.id_of(self.prepared()), address: self.address(), members }
    }
    pub(super) fn raw(&self) -> (&RawChunk, usize) {
        (&self.chunk.prepared.raw, self.prepared().record as usize)
    }
}

/// What a batch sends next.
#[derive(Debug)]
pub(super) enum Phase {
    /// One bulk message.
    Bulk,
    /// Single operations in one `$batch`.
    Apart,
    /// Asks which of its ids are present.
    Probe {
        /// The refusal that led here.
        fault: RowFault,
        /// Requests still to be sent.
        queries: VecDeque<ApiRequest>,
        /// Ids found so far.
        present: HashSet<Uuid>,
        /// Whether its rows travelled apart before.
        was_apart: bool,
    },
    /// Its rows have their ends; asks for the ids of those that a text key addressed, which the
    /// upsert did not tell.
    Learn {
        /// Requests still to be sent.
        queries: VecDeque<ApiRequest>,
        /// The key's column.
        column: String,
        /// Ids by key, folded.
        ids: HashMap<String, Uuid>,
        /// How the rows ended.
        ends: Vec<RowEnd>,
    },
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: BatchId,
    /// Rows in ascending order; never changes under this id.
    pub(super) rows: Vec<RowRef>,
    pub(super) case: Case,
    pub(super) phase: Phase,
    /// Attempts made, throttled ones included.
    pub(super) attempts: u32,
    /// Body of the bulk message, built once.
    pub(super) body: Option<Bytes>,
    /// When the first attempt left.
    pub(super) first_sent: Option<MonoTime>,
    /// The last service request id heard, for support.
    pub(super) service_request_id: Option<String>,
}

/// Why a batch has no request to send.
#[derive(Debug, thiserror::Error)]
#[error("request of batch {batch} cannot be made: {reason}")]
pub(super) struct Unsendable {
    pub(super) batch: u64,
    pub(super) reason: String,
}

impl Work {
    pub(super) fn new(id: BatchId, rows: Vec<RowRef>, plan: &LoadPlan, message: Message) -> Self {
        let mut case = plan.fresh_case(rows.len());
        case.apart = message == Message::Batch;
        let phase = if case.apart { Phase::Apart } else { Phase::Bulk };
        Self {
            id,
            rows,
            case,
            phase,
            attempts: 0,
            body: None,
            first_sent: None,
            service_request_id: None,
        }
    }

    /// Makes its rows travel as single operations.
    pub(super) fn take_apart(&mut self) {
        self.case.apart = true;
        self.phase = Phase::Apart;
        self.body = None;
    }

    /// Turns to asking which of its ids are present.
    pub(super) fn begin_probe(&mut self, plan: &LoadPlan, fault: RowFault) {
        let ids: Vec<Uuid> = self.rows.iter().filter_map(|r| plan.id_of(r.prepared())).collect();
        let queries = presence::by_ids(&plan.target.entity_set, &plan.target.primary_id, &ids, &[]);
        self.phase = Phase::Probe {
            fault,
            queries: queries.into_iter().map(|q| q.request).collect(),
            present: HashSet::new(),
            was_apart: self.case.apart,
        };
    }

    /// Turns to asking for the ids of its rows, when a text key addresses them; gives the ends back
    /// when their key is of another kind.
    pub(super) fn begin_learning(
        &mut self,
        plan: &LoadPlan,
        ends: Vec<RowEnd>,
    ) -> Result<(), Vec<RowEnd>> {
        let mut column = String::new();
        let mut keys = Vec::new();
        for row in &self.rows {
            let address = String::from_utf8_lossy(row.address()).into_owned();
            let Some((name, text)) = odata::text_of_predicate(&address) else { return Err(ends) };
            name.clone_into(&mut column);
            keys.push(text);
        }
        let texts: Vec<&str> = keys.iter().map(String::as_str).collect();
        let select = [plan.target.primary_id.as_str(), column.as_str()];
        let Ok(queries) = presence::by_texts(&plan.target.entity_set, &select, &column, &texts)
        else {
            return Err(ends);
        };
        let queries = queries.into_iter().map(|q| q.request).collect();
        self.phase = Phase::Learn { queries, column, ids: HashMap::new(), ends };
        Ok(())
    }

    /// The request to send now.
    pub(super) fn request(
        &mut self,
        plan: &LoadPlan,
        message: Message,
    ) -> Result<ApiRequest, Unsendable> {
        let unsendable = |reason: String| Unsendable { batch: self.id.0, reason };
        match &self.phase {
            Phase::Bulk => {
                let body = match &self.body {
                    Some(body) => body.clone(),
                    None => {
                        let body = self.bulk_body(plan);
                        self.body = Some(body.clone());
                        body
                    }
                };
                let message = match message {
                    Message::CreateMultiple => BulkMessage::Create,
                    Message::UpdateMultiple => BulkMessage::Update,
                    Message::UpsertMultiple => BulkMessage::Upsert,
                    Message::DeleteMultiple => BulkMessage::Delete,
                    Message::Batch => return Err(unsendable("no bulk message".to_owned())),
                };
                Ok(request::bulk(&plan.target.entity_set, message, &plan.spec.request, body))
            }
            Phase::Apart => {
                let parts: Vec<ApiRequest> = self.rows.iter().map(|r| single(plan, r)).collect();
                multipart::write_batch(&parts, &Uuid::new_v4().simple().to_string())
                    .map_err(|error| unsendable(error.to_string()))
            }
            Phase::Probe { queries, .. } | Phase::Learn { queries, .. } => queries
                .front()
                .cloned()
                .ok_or_else(|| unsendable("every query was answered".to_owned())),
        }
    }

    /// Body of the bulk message.
    pub(super) fn bulk_body(&self, plan: &LoadPlan) -> Bytes {
        plan.bodies.bulk(self.rows.iter().map(|row| row.body(plan))).into()
    }
}

/// One row as an operation of its own.
fn single(plan: &LoadPlan, row: &RowRef) -> ApiRequest {
    let set = &plan.target.entity_set;
    let options = &plan.spec.request;
    let id = plan.id_of(row.prepared());
    let address = || match id {
        Some(id) => odata::row_by_id(set, id),
        None => odata::row_by_key(set, &String::from_utf8_lossy(row.address())),
    };
    match plan.spec.operation {
        Operation::Create => {
            request::create(set, options, plan.bodies.create(&row.body(plan)).into())
        }
        Operation::Update => {
            let body = BodyWriter::patch(&row.body(plan)).into();
            request::patch(address(), Precondition::MustExist, options, body)
        }
        Operation::Upsert => {
            let body = BodyWriter::patch(&row.body(plan)).into();
            request::patch(address(), Precondition::None, options, body)
        }
        Operation::Delete => request::delete(address(), options),
    }
}
