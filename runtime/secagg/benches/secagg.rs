//! What the protocol costs, against the physical limit in the same run. Fixed seeds.
//!
//! `cargo bench -p veilflow-secagg` prints criterion's table and, last, each part as a share of its floor: what the same
//! machine does with the same data at the same time when it only makes keystream, random words or sums.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::{
    hint::black_box,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use aes::Aes128;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use veilflow_secagg::*;

/// The CNN of the main job has 21,840 parameters; a million shows what memory costs.
const LENGTHS: [usize; 2] = [21_840, 1_000_000];
const KEY: [u8; 32] = [42; 32];

fn keystream(buffer: &mut [u8]) {
    Ctr128BE::<Aes128>::new_from_slices(&KEY[..16], &KEY[16..]).unwrap().write_keystream(buffer);
}

fn masks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for length in LENGTHS {
        group.throughput(Throughput::Elements(length as u64));
        let (mut bytes, mut entries) = (vec![0_u8; 4 * length], vec![0_u32; length]);
        group.bench_function(BenchmarkId::new("keystream", length), |b| {
            b.iter(|| keystream(black_box(&mut bytes)))
        });
        group.bench_function(BenchmarkId::new("expand and add", length), |b| {
            b.iter(|| expand_mask_and_add(black_box(&mut entries), &KEY).unwrap());
        });
    }
    group.finish();
}

fn quantization(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quantize");
    for length in LENGTHS {
        group.throughput(Throughput::Elements(length as u64));
        let vector = floats(length);
        let plan = Parameters::new().plan(3, Layout::new(0, length)).unwrap();
        let input = Input { weight: 700, scalars: &[], vector: &vector };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        group.bench_function(BenchmarkId::new("copy", length), |b| b.iter(|| black_box(&vector).clone()));
        group.bench_function(BenchmarkId::new("stochastic", length), |b| {
            b.iter(|| plan.quantize(black_box(&input), &mut rng).unwrap());
        });
    }
    group.finish();
}

/// A whole session in one thread: `clients` participants, the main job's vector.
fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let vector = floats(LENGTHS[0]);
    for clients in [3, 10] {
        group.bench_function(BenchmarkId::new("all stay", clients), |b| b.iter(|| session(clients, &vector)));
    }
    group.finish();
}

fn session(clients: usize, vector: &[f32]) -> Aggregate {
    let parameters = Parameters::new().with_security(Security::SemiHonest);
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    let plan = parameters.plan(clients, Layout::new(3, vector.len())).unwrap();
    let names: Vec<String> = (0..clients).map(|i| format!("site {i}")).collect();
    let session = Session::generate(0).unwrap();
    let model = ModelDigest::from_bytes([0; 32]);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut journals = vec![MemoryJournal::new(); clients];
    let mut server = AdvertiseKeysServer::new(session, plan, names.clone()).unwrap();
    let mut waiting = Vec::new();
    for (name, journal) in names.iter().zip(&mut journals) {
        let client = Client::new(name.as_str(), plan, policy).unwrap();
        let (client, message) = client.advertise_keys(session, journal).unwrap();
        server.receive(name, message).unwrap();
        waiting.push(client);
    }
    let (mut server, roster) = server.freeze().unwrap();
    let mut frozen = Vec::new();
    for (name, client) in names.iter().zip(waiting) {
        let (client, message) = client.freeze_roster(&roster).unwrap();
        server.receive(name, message).unwrap();
        frozen.push(client);
    }
    let (mut server, roster) = server.reveal().unwrap();
    let mut sharing = Vec::new();
    for (name, client) in names.iter().zip(frozen) {
        let (client, message) = client.share_keys(&roster).unwrap();
        server.receive(name, message).unwrap();
        sharing.push(client);
    }
    let (mut server, shares) = server.deliver().unwrap();
    let mut masked = Vec::new();
    for ((name, client), journal) in names.iter().zip(sharing).zip(&mut journals) {
        let client = client.receive_shares(&shares[name]).unwrap();
        let input = Input { weight: 1000, scalars: &[0.1, 0.2, 0.3], vector };
        let id = InputId::from_bytes([0; 32]);
        let (client, message) = client.mask_input(model, id, &input, &mut rng, journal).unwrap();
        server.receive(name, message).unwrap();
        masked.push(client);
    }
    let (mut server, survivors) = server.announce(model).unwrap();
    let mut confirmed = Vec::new();
    for (name, client) in names.iter().zip(masked) {
        let (client, message) = client.check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
        server.receive(name, message).unwrap();
        confirmed.push(client);
    }
    let (mut server, signatures) = server.forward().unwrap();
    for (name, client) in names.iter().zip(confirmed) {
        server.receive(name, client.unmask(&signatures).unwrap()).unwrap();
    }
    server.aggregate().unwrap()
}

/// The ratios, from the best of many alternating runs: a shared machine slows both sides of a ratio or neither.
fn ratios(_: &mut Criterion) {
    for length in LENGTHS {
        one_mask(length);
        many_masks(length);
        quantize(length, "32", Parameters::new());
        let wide = Parameters::new().with_modulus_range(1 << 64).with_quantization_range(1 << 40);
        quantize(length, "64", wide);
        packing(length);
    }
}

fn one_mask(length: usize) {
    let (mut bytes, mut entries) = (vec![0_u8; 4 * length], vec![0_u32; length]);
    let times = best_of(
        200,
        || keystream(black_box(&mut bytes)),
        || expand_mask_and_add(black_box(&mut entries), &KEY).unwrap(),
    );
    report("expand a mask and add it", "AES-128-CTR alone", times, length);
}

/// As many as a client of 1,000 has, a fifth of which may be adversaries and a tenth drop out.
fn many_masks(length: usize) {
    const MASKS: u8 = 69;
    let keys: Vec<[u8; 32]> = (0..MASKS).map(|i| [i; 32]).collect();
    let (mut bytes, mut entries) = (vec![0_u8; 4 * length], vec![0_u32; length]);
    for threads in [1, 2] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let times = best_of(
            10,
            || keys.iter().for_each(|_| keystream(black_box(&mut bytes))),
            || expand_masks_and_add(black_box(&mut entries), &keys, threads).unwrap(),
        );
        let what = format!("{MASKS} masks at once, {threads} threads");
        report(&what, "AES-128-CTR alone, one thread", times, length * usize::from(MASKS));
    }
}

fn quantize(length: usize, word: &str, parameters: Parameters) {
    let vector = floats(length);
    let plan = parameters.plan(3, Layout::new(0, length)).unwrap();
    let input = Input { weight: 700, scalars: &[], vector: &vector };
    let (mut words, mut random) = (vec![0_u8; 4096], ChaCha8Rng::seed_from_u64(4));
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let times = best_of(
        200,
        || (0..length.div_ceil(1024)).for_each(|_| random.fill_bytes(black_box(&mut words))),
        || drop(black_box(plan.quantize(&input, &mut rng).unwrap())),
    );
    report(&format!("quantize to {word} bits"), "the random words alone", times, length);
}

fn packing(length: usize) {
    const BITS: u32 = 27;
    let entries: Vec<u32> = (0..length as u32).map(|i| i.wrapping_mul(0x9e37_79b9) >> 5).collect();
    let (mut sum, mut plain) = (vec![0_u32; length], vec![0_u32; length]);
    let mut target = entries.clone();
    let packed = pack_entries(&entries, BITS);
    let times = best_of(
        200,
        || black_box(&mut target).copy_from_slice(&entries),
        || drop(black_box(pack_entries(black_box(&entries), BITS))),
    );
    report("pack to 27 bits", "a copy", times, length);
    let times = best_of(
        200,
        || {
            black_box(&mut plain)
                .iter_mut()
                .zip(&entries)
                .for_each(|(sum, entry)| *sum = sum.wrapping_add(*entry))
        },
        || add_packed_entries(black_box(&packed), black_box(&mut sum), BITS),
    );
    report("add a packed vector", "add a plain one", times, length);
}

/// The floor's best time and the work's.
fn best_of(runs: usize, mut floor: impl FnMut(), mut work: impl FnMut()) -> (Duration, Duration) {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..runs)
        .fold((Duration::MAX, Duration::MAX), |(a, b), _| (a.min(time(&mut floor)), b.min(time(&mut work))))
}

fn report(what: &str, limit: &str, (floor, took): (Duration, Duration), entries: usize) {
    let rate = |time: Duration| entries as f64 / time.as_secs_f64() / 1e6;
    println!(
        "{entries:>9} entries: {what}: {:.0} M/s, {:.2} of {limit} ({:.0} M/s)",
        rate(took),
        floor.as_secs_f64() / took.as_secs_f64(),
        rate(floor)
    );
}

fn floats(length: usize) -> Vec<f32> {
    (0..length).map(|i| (i % 1000) as f32 * 0.008 - 4.0).collect()
}

criterion_group!(benches, masks, quantization, sessions, ratios);
criterion_main!(benches);
