//! The parts of the checker, one by one. Whole checks with their memory, and other checkers beside
//! them, are measured by `squall bench checker`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall_checker::generate as mww;
use squall_checker::online::Online;
use squall_checker::{check, read_history, write_history};
use squall_models::formats::plume;
use squall_models::generate::registers;
use squall_models::registers::Model;

/// Transactions in each history: large enough that the costs per operation are what counts.
const TRANSACTIONS: u64 = 10_000;
const OPERATIONS: u32 = 8;
const SESSIONS: u32 = 10;

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let mut text = Vec::new();
    let config = registers::Config::new(TRANSACTIONS, OPERATIONS, SESSIONS);
    registers::write_plume(&config, &mut text).expect("writing to memory");
    group.throughput(Throughput::Elements(TRANSACTIONS * u64::from(OPERATIONS)));
    group.bench_function("plume", |bencher| {
        bencher.iter(|| plume::read(text.as_slice()).expect("it was just written"))
    });

    let history = mww::generate(&mww::Config::new(1, TRANSACTIONS / 10));
    let counts = check(&history).counts;
    let mut lines = Vec::new();
    write_history(&history, &mut lines).expect("writing to memory");
    group.throughput(Throughput::Elements(counts.rows_read + counts.rows_written));
    group.bench_function("squall", |bencher| {
        bencher.iter(|| read_history(lines.as_slice()).expect("it was just written"))
    });
    group.finish();
}

fn checking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(TRANSACTIONS * u64::from(OPERATIONS)));
    for highest_wins in [false, true] {
        let config = registers::Config {
            highest_wins,
            ..registers::Config::new(TRANSACTIONS, OPERATIONS, SESSIONS)
        };
        let mut text = Vec::new();
        registers::write_plume(&config, &mut text).expect("writing to memory");
        let (history, models): (_, &[Model]) = if highest_wins {
            (
                plume::read_versions(text.as_slice()),
                &[Model::CausalPerKey],
            )
        } else {
            let models = &[Model::ReadCommitted, Model::ReadAtomic, Model::Causal];
            (plume::read(text.as_slice()), models)
        };
        let history = history.expect("it was just written");
        for model in models {
            group.bench_function(model.name(), |bencher| {
                bencher.iter(|| history.check(*model))
            });
        }
    }

    let history = mww::generate(&mww::Config::new(1, TRANSACTIONS / 10));
    let counts = check(&history).counts;
    group.throughput(Throughput::Elements(counts.rows_read + counts.rows_written));
    group.bench_function("mww", |bencher| bencher.iter(|| check(&history)));
    group.bench_function("mww along with a run", |bencher| {
        bencher.iter(|| {
            let mut online = Online::new(&history.header);
            for record in &history.records {
                online.push(record);
            }
            online.verdict()
        })
    });
    group.finish();
}

criterion_group!(benches, reading, checking);
criterion_main!(benches);
