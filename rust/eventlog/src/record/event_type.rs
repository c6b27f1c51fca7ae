//! One byte for each of Dagster's event types, in the keys of projections.
//!
//! The log holds event types as strings; the code is the projections' own, so appending to the table
//! or reordering it is a new fold version. Types that the table does not know share one code, and a
//! query for one of them reads the facet.

/// The event type of a projection's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeCode(pub u8);

impl TypeCode {
    /// A log message, which has no event type.
    pub const LOG_MESSAGE: Self = Self(0);
    /// A type that [`EVENT_TYPES`] does not list.
    pub const OTHER: Self = Self(255);

    /// The code of an event type.
    pub fn of(event_type: Option<&str>) -> Self {
        match event_type {
            None => Self::LOG_MESSAGE,
            Some(name) => EVENT_TYPES
                .iter()
                .position(|known| *known == name)
                .map_or(Self::OTHER, |index| Self(index as u8 + 1)),
        }
    }

    /// The event type, unless it is none or not listed.
    pub fn name(self) -> Option<&'static str> {
        EVENT_TYPES
            .get(usize::from(self.0).wrapping_sub(1))
            .copied()
    }
}

/// Names of the event types that projections treat apart.
pub mod names {
    pub const MATERIALIZATION: &str = "ASSET_MATERIALIZATION";
    pub const PLANNED: &str = "ASSET_MATERIALIZATION_PLANNED";
    pub const FAILED: &str = "ASSET_FAILED_TO_MATERIALIZE";
    pub const OBSERVATION: &str = "ASSET_OBSERVATION";
    pub const FRESHNESS: &str = "FRESHNESS_STATE_CHANGE";
    pub const CHECK_PLANNED: &str = "ASSET_CHECK_EVALUATION_PLANNED";
    pub const CHECK_EVALUATION: &str = "ASSET_CHECK_EVALUATION";
}

/// Event types that change a run's status.
pub const STATUS_CHANGES: [&str; 9] = [
    "PIPELINE_ENQUEUED",
    "PIPELINE_STARTING",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELING",
    "PIPELINE_CANCELED",
    "RUN_SUSPENDED",
    "RUN_RESUMED",
];

/// Dagster's event types. A code is the index plus one.
pub const EVENT_TYPES: [&str; 47] = [
    "STEP_OUTPUT",
    "STEP_INPUT",
    "STEP_FAILURE",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_SKIPPED",
    "STEP_WORKER_STARTING",
    "STEP_WORKER_STARTED",
    "RESOURCE_INIT_STARTED",
    "RESOURCE_INIT_SUCCESS",
    "RESOURCE_INIT_FAILURE",
    "STEP_UP_FOR_RETRY",
    "STEP_RESTARTED",
    "ASSET_MATERIALIZATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_FAILED_TO_MATERIALIZE",
    "ASSET_OBSERVATION",
    "STEP_EXPECTATION_RESULT",
    "ASSET_CHECK_EVALUATION_PLANNED",
    "ASSET_CHECK_EVALUATION",
    "ASSET_HEALTH_CHANGED",
    "ASSET_WIPED",
    "PIPELINE_ENQUEUED",
    "PIPELINE_DEQUEUED",
    "PIPELINE_STARTING",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELING",
    "PIPELINE_CANCELED",
    "RUN_SUSPENDED",
    "RUN_RESUMED",
    "OBJECT_STORE_OPERATION",
    "ASSET_STORE_OPERATION",
    "LOADED_INPUT",
    "HANDLED_OUTPUT",
    "ENGINE_EVENT",
    "HOOK_COMPLETED",
    "HOOK_ERRORED",
    "HOOK_SKIPPED",
    "ALERT_START",
    "ALERT_SUCCESS",
    "ALERT_FAILURE",
    "LOGS_CAPTURED",
    "FRESHNESS_STATE_EVALUATION",
    "FRESHNESS_STATE_CHANGE",
    "CODE_LOCATION_UPDATED",
];
