//! Records: the immutable facts that the log holds, one file a subject.

mod documents;
pub mod event_type;
mod frame;
mod kinds;

pub use documents::{
    Document, DocumentState, RunState, RunStateSet, Space, SpacesWiped, StatusFacet, Term,
};
pub use frame::{
    Frame, FrameError, frame_checksum, frame_header, frame_kind, open_frame, payload_of, seal_frame,
};
pub use kinds::{
    AssetFacet, AssetPartitionsWiped, AssetWiped, CheckExecutionPlanned, CheckFacet, Definition,
    DynamicPartition, Event, EventLogWiped, Husk, Kind, PoolLimit, PoolStep, PoolStepState, Record,
    RunAdvanced, RunEventsDeleted, RunEventsSwept, ShapeDefined, SlotClaim,
};
