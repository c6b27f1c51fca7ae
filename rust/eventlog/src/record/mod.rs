//! Records: the immutable facts that the log holds, one file a subject.

pub mod event_type;
mod frame;
mod kinds;

pub use frame::{Frame, FrameError, open_frame, seal_frame};
pub use kinds::{
    AssetFacet, AssetPartitionsWiped, AssetWiped, CheckExecutionPlanned, CheckFacet, Definition,
    DynamicPartition, Event, EventLogWiped, Husk, Kind, PoolLimit, PoolStep, PoolStepState, Record,
    RunEventsDeleted, ShapeDefined, SlotClaim,
};
