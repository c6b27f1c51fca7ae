//! Golden bytes: every kind of command and reply, as writers of one dialect hand them to each other.
//!
//! A leader reads the command of another process by these bytes alone. So whoever changes them raises
//! [`COMMANDS`](super::COMMANDS), and then writes the new bytes here.

use super::{
    COMMANDS, Claim, Command, NewDocument, NewEvent, Purge, Put, Removal, Reply, RunStatusEvent,
};
use crate::record::{Space, Term};
use crate::sequence::Sequence;
use crate::value::{Shape, ShapeKind};

/// The version that has these bytes.
const VERSION: u32 = 2;

/// The kind's name, its bytes in hexadecimal.
const COMMAND_BYTES: &[(&str, &str)] = &[
    (
        "DefineShapes",
        "81ac446566696e65536861706573919195a66f626a656374a5436c61737391a56669656c64a27b7d03",
    ),
    (
        "StoreEvents",
        "81ab53746f72654576656e7473919192c402029091a170",
    ),
    (
        "DeleteRunEvents",
        "81af44656c65746552756e4576656e747393a372756e09cb4021000000000000",
    ),
    (
        "SweepDeletedRuns",
        "81b0537765657044656c6574656452756e739209cb4021000000000000",
    ),
    ("Wipe", "81a45769706591cb4021000000000000"),
    (
        "WipeAsset",
        "81a957697065417373657492a55b2261225dcb4021000000000000",
    ),
    (
        "WipeAssetPartitions",
        "81b3576970654173736574506172746974696f6e7393a55b2261225d91a170cb4021000000000000",
    ),
    (
        "AddDynamicPartitions",
        "81b441646444796e616d6963506172746974696f6e7393a16491a16bcb4021000000000000",
    ),
    (
        "DeleteDynamicPartition",
        "81b644656c65746544796e616d6963506172746974696f6e93a164a16bcb4021000000000000",
    ),
    (
        "SetPoolLimit",
        "81ac536574506f6f6c4c696d697494a4706f6f6c05c3cb4021000000000000",
    ),
    (
        "DeletePoolLimit",
        "81af44656c657465506f6f6c4c696d697492a4706f6f6ccb4021000000000000",
    ),
    (
        "ClaimSlot",
        "81a9436c61696d536c6f7495a4706f6f6ca372756ea473746570ffcb4021000000000000",
    ),
    (
        "FreeSlots",
        "81a946726565536c6f747393a372756ea473746570cb4021000000000000",
    ),
    (
        "PutDocuments",
        "81ac507574446f63756d656e7473929197a352756ea655707365727407a36b6579cb3fe00000000000009193a6737461747573a753554343455353cb3ff8000000000000c401c0cb4021000000000000",
    ),
    (
        "RemoveDocuments",
        "81af52656d6f7665446f63756d656e7473929194a352756ea36b6579c392a46e616d65a576616c7565cb4021000000000000",
    ),
    (
        "AddRun",
        "81a641646452756e9397a352756ea655707365727407a36b6579cb3fe00000000000009193a6737461747573a753554343455353cb3ff8000000000000c401c0a8736e617073686f74cb4021000000000000",
    ),
    (
        "DeleteRun",
        "81a944656c65746552756e93a372756e09cb4021000000000000",
    ),
    (
        "HandleRunEvent",
        "81ae48616e646c6552756e4576656e7493a372756e96b0504950454c494e455f4641494c555245cb4004000000000000a74641494c555245ac535445505f4641494c555245c2c3cb4021000000000000",
    ),
    (
        "AddRunTags",
        "81aa41646452756e5461677393a372756e9192a36b6579a576616c7565cb4021000000000000",
    ),
    (
        "WipeSpaces",
        "81aa576970655370616365739291a352756ecb4021000000000000",
    ),
    (
        "PurgeDocuments",
        "81ae5075726765446f63756d656e74739394a45469636ba46e616d6591a7534b4950504544cb401200000000000009cb4021000000000000",
    ),
];

const REPLY_BYTES: &[(&str, &str)] = &[
    ("Done", "a4446f6e65"),
    ("Shapes", "81a65368617065739201cd012c"),
    ("Events", "81a64576656e74739101"),
    ("Claim", "81a5436c61696d94c3cb3ff8000000000000c002"),
    ("Documents", "81a9446f63756d656e74739101"),
    ("More", "a44d6f7265"),
];

const BYTES_OF_OTHERS: &str =
    "another release has these bytes: raise COMMANDS, then write the new bytes and VERSION here";

/// One of each kind.
fn commands() -> Vec<Command> {
    let text = str::to_owned;
    let term = Term {
        name: text("status"),
        value: text("SUCCESS"),
        order: 1.5,
    };
    let document = NewDocument {
        space: Space::Run,
        put: Put::Upsert,
        id: Some(Sequence::new(7)),
        key: text("key"),
        created: Some(0.5),
        terms: vec![term],
        body: vec![0xC0],
    };
    let removal = Removal {
        space: Space::Run,
        key: text("key"),
        required: true,
        kept_by: Some((text("name"), text("value"))),
    };
    let shape = Shape {
        kind: ShapeKind::Object,
        name: text("Class"),
        fields: vec![text("field")],
        constants: text("{}"),
        plan: 3,
    };
    let event = NewEvent {
        payload: vec![2, 0x90],
        more_partitions: vec![text("p")],
    };
    let status = RunStatusEvent {
        event_type: text("PIPELINE_FAILURE"),
        timestamp: 2.5,
        status: text("FAILURE"),
        failure_reason: Some(text("STEP_FAILURE")),
        starts: false,
        ends: true,
    };
    let purge = Purge {
        space: Space::Tick,
        name: text("name"),
        values: vec![text("SKIPPED")],
        before: 4.5,
    };
    let (now, step) = (8.5, 9);
    let run_id = || text("run");
    vec![
        Command::DefineShapes {
            shapes: vec![shape],
        },
        Command::StoreEvents {
            events: vec![event],
        },
        Command::DeleteRunEvents {
            run_id: run_id(),
            step,
            now,
        },
        Command::SweepDeletedRuns { step, now },
        Command::Wipe { now },
        Command::WipeAsset {
            asset_key: text("[\"a\"]"),
            now,
        },
        Command::WipeAssetPartitions {
            asset_key: text("[\"a\"]"),
            partitions: vec![text("p")],
            now,
        },
        Command::AddDynamicPartitions {
            definition: text("d"),
            keys: vec![text("k")],
            now,
        },
        Command::DeleteDynamicPartition {
            definition: text("d"),
            key: text("k"),
            now,
        },
        Command::SetPoolLimit {
            pool: text("pool"),
            limit: 5,
            from_default: true,
            now,
        },
        Command::DeletePoolLimit {
            pool: text("pool"),
            now,
        },
        Command::ClaimSlot {
            pool: text("pool"),
            run_id: run_id(),
            step_key: text("step"),
            priority: -1,
            now,
        },
        Command::FreeSlots {
            run_id: run_id(),
            step_key: Some(text("step")),
            now,
        },
        Command::PutDocuments {
            documents: vec![document.clone()],
            now,
        },
        Command::RemoveDocuments {
            removals: vec![removal],
            now,
        },
        Command::AddRun {
            run: document,
            snapshot_id: Some(text("snapshot")),
            now,
        },
        Command::DeleteRun {
            run_id: run_id(),
            step,
            now,
        },
        Command::HandleRunEvent {
            run_id: run_id(),
            event: status,
            now,
        },
        Command::AddRunTags {
            run_id: run_id(),
            tags: vec![(text("key"), text("value"))],
            now,
        },
        Command::WipeSpaces {
            spaces: vec![Space::Run],
            now,
        },
        Command::PurgeDocuments { purge, step, now },
    ]
}

/// One of each kind.
fn replies() -> Vec<Reply> {
    vec![
        Reply::Done,
        Reply::Shapes(vec![1, 300]),
        Reply::Events(vec![Sequence::new(1)]),
        Reply::Claim(Claim {
            claimed: true,
            enqueued: Some(1.5),
            assigned: None,
            priority: Some(2),
        }),
        Reply::Documents(vec![Sequence::new(1)]),
        Reply::More,
    ]
}

/// The kind's name. A kind that is new does not compile here, and wants its bytes above.
fn command_name(command: &Command) -> &'static str {
    match command {
        Command::DefineShapes { .. } => "DefineShapes",
        Command::StoreEvents { .. } => "StoreEvents",
        Command::DeleteRunEvents { .. } => "DeleteRunEvents",
        Command::SweepDeletedRuns { .. } => "SweepDeletedRuns",
        Command::Wipe { .. } => "Wipe",
        Command::WipeAsset { .. } => "WipeAsset",
        Command::WipeAssetPartitions { .. } => "WipeAssetPartitions",
        Command::AddDynamicPartitions { .. } => "AddDynamicPartitions",
        Command::DeleteDynamicPartition { .. } => "DeleteDynamicPartition",
        Command::SetPoolLimit { .. } => "SetPoolLimit",
        Command::DeletePoolLimit { .. } => "DeletePoolLimit",
        Command::ClaimSlot { .. } => "ClaimSlot",
        Command::FreeSlots { .. } => "FreeSlots",
        Command::PutDocuments { .. } => "PutDocuments",
        Command::RemoveDocuments { .. } => "RemoveDocuments",
        Command::AddRun { .. } => "AddRun",
        Command::DeleteRun { .. } => "DeleteRun",
        Command::HandleRunEvent { .. } => "HandleRunEvent",
        Command::AddRunTags { .. } => "AddRunTags",
        Command::WipeSpaces { .. } => "WipeSpaces",
        Command::PurgeDocuments { .. } => "PurgeDocuments",
    }
}

fn reply_name(reply: &Reply) -> &'static str {
    match reply {
        Reply::Done => "Done",
        Reply::Shapes(_) => "Shapes",
        Reply::Events(_) => "Events",
        Reply::Claim(_) => "Claim",
        Reply::Documents(_) => "Documents",
        Reply::More => "More",
    }
}

fn owned(golden: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let owned = golden
        .iter()
        .map(|(name, bytes)| (*name, (*bytes).to_owned()));
    owned.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commands_and_replies_change_their_bytes_only_with_their_version() {
    let commands: Vec<_> = commands()
        .iter()
        .map(|it| (command_name(it), hex(&rmp_serde::to_vec(it).unwrap())))
        .collect();
    assert_eq!(commands, owned(COMMAND_BYTES), "{BYTES_OF_OTHERS}");
    let replies: Vec<_> = replies()
        .iter()
        .map(|it| (reply_name(it), hex(&rmp_serde::to_vec(it).unwrap())))
        .collect();
    assert_eq!(replies, owned(REPLY_BYTES), "{BYTES_OF_OTHERS}");
    assert_eq!(COMMANDS, VERSION, "{BYTES_OF_OTHERS}");
}

#[test]
fn commands_and_replies_are_read_from_their_bytes() {
    for command in commands() {
        let bytes = rmp_serde::to_vec(&command).unwrap();
        assert_eq!(rmp_serde::from_slice::<Command>(&bytes).unwrap(), command);
    }
    for reply in replies() {
        let bytes = rmp_serde::to_vec(&reply).unwrap();
        assert_eq!(rmp_serde::from_slice::<Reply>(&bytes).unwrap(), reply);
    }
}
