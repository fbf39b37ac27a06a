//! What the order of the records says about real time, in our own histories. (In those of others:
//! `real_time.rs` of the models.)

mod support;

use squall_checker::transactions;
use squall_models::registers::Judgement::{self, Ok, Violation};
use squall_models::registers::Model;
use squall_protocol::history::{Event, Phase};
use squall_protocol::transaction::{Transaction, TransactionMode};
use support::Story;

/// Of our own histories: serializability, and strict serializability.
fn judge_own(story: &Story) -> (Judgement, Judgement) {
    let registers = transactions::recording(&story.history())
        .build(false)
        .unwrap();
    let judge = |model| registers.check(model).judgement;
    (
        judge(Model::Serializability),
        judge(Model::StrictSerializability),
    )
}

#[test]
fn our_own_histories_tell_real_time_too() {
    let mut story = Story::new(1);
    story.write("a", &[-1], 7, &[0]);
    let written = story.clone();
    story.read("b", &[-1]);
    assert_eq!(judge_own(&story), (Ok, Violation));

    // An emission of a live query may have been on its way for long.
    let mut story = written.clone();
    story.record(Event::Invoke {
        client: "b".to_owned(),
        operation: 2,
        transaction: Transaction {
            through: TransactionMode::Watch,
            ..Transaction::read_all()
        },
    });
    story.ok("b", 2, support::rows(&[-1]), Vec::new());
    assert_eq!(judge_own(&story), (Ok, Ok));

    // PostgreSQL's final read is recorded when its answer comes, and began with the phase.
    let mut story = written;
    story.phase(Phase::FinalRead);
    story.write("a", &[7], 8, &[0]);
    for (read, expected) in [(7, Ok), (-1, Violation)] {
        let mut story = story.clone();
        story.postgres(&[read]);
        assert_eq!(judge_own(&story), (Ok, expected));
    }
}
