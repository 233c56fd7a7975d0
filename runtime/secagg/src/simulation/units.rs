//! What each kind of work takes on this machine, and what a session takes at least with that.

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Instruments;
use crate::{
    commitment::Opening,
    cost::{ClientCost, ServerCost},
    error::Error,
    identity::{IdentityKey, Signature},
    keys::{PrivateKey, PublicKey},
    mask,
    plan::Plan,
    sealing::{Purpose, ShareKind, seal},
    session::Session,
    shamir::{Share, combine, split},
    transcript::Transcript,
};

/// Processor time of each kind of work, for one plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Units {
    /// AES-128-CTR of the vector's bytes alone, into a buffer that stays in the cache.
    pub stream: Duration,
    /// One ECDH on P-256, of a key that is a point already.
    pub agreement: Duration,
    /// A secret's split among those who hold shares of it.
    pub sharing: Duration,
    /// AES-SIV of the two shares that one neighbour gets.
    pub seal: Duration,
    /// One ECDSA signature's verification.
    pub signature_check: Duration,
    /// One vector, which lies in memory since it came, added to a sum that is in use.
    pub addition: Duration,
    /// A secret rebuilt from t shares.
    pub reconstruction: Duration,
}

impl Units {
    /// Of one client.
    pub fn client(&self, cost: &ClientCost) -> Duration {
        sum(&[
            (self.stream, cost.mask_streams),
            (self.agreement, cost.key_agreements),
            (self.sharing, cost.sharings),
            (self.seal, cost.seals),
            (self.signature_check, cost.signature_checks),
        ])
    }

    /// Of the server.
    pub fn server(&self, cost: &ServerCost) -> Duration {
        sum(&[
            (self.addition, cost.additions),
            (self.stream, cost.mask_streams),
            (self.agreement, cost.key_agreements),
            (self.reconstruction, cost.reconstructions),
        ])
    }

    /// Measured for a plan, in about a tenth of a second for a short vector.
    ///
    /// # Errors
    ///
    /// When the operating system gives no randomness.
    pub fn measure<I: Instruments>(plan: Plan, instruments: &I) -> Result<Self, Error> {
        const ROUNDS: usize = 7;
        let sampler = Sampler::new(plan)?;
        (0..ROUNDS).try_for_each(|_| sampler.sample(instruments))?;
        Ok(sampler.units())
    }
}

fn sum(parts: &[(Duration, u64)]) -> Duration {
    let nanos: u128 =
        parts.iter().map(|(unit, count)| unit.as_nanos().saturating_mul(u128::from(*count))).sum();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Measures again and again, because a shared machine is faster at one time than at another; the medians count.
pub(super) struct Sampler {
    plan: Plan,
    words: usize,
    private: PrivateKey,
    public: PublicKey,
    session: Session,
    identity: IdentityKey,
    statement: Transcript,
    signature: Signature,
    sealing_key: [u8; 64],
    opening: Opening,
    shares: Vec<(u8, Share)>,
    /// A sum, and what is added to it.
    vectors: Mutex<[Vec<u32>; 2]>,
    /// By kind of work, in the order of [`Units`].
    samples: Mutex<[Vec<Duration>; 7]>,
}

/// Keystream that is made at once: it stays in the first-level cache.
const BLOCK: usize = 4096;

impl Sampler {
    pub(super) fn new(plan: Plan) -> Result<Self, Error> {
        let private = PrivateKey::generate()?;
        let public = PrivateKey::generate()?.encoded_public_key()?.decode("unit", "unit")?;
        let identity = IdentityKey::generate()?;
        let session = Session::new([1; 32], 0);
        let statement = Transcript::new("veilflow/secagg/unit").bytes(&[2; 200]);
        let signature = identity.sign(&statement);
        let dealt = split(&[3; 32], byte(plan.shares())?, byte(plan.threshold())?)?;
        let shares = (1..).zip(dealt).take(plan.threshold()).collect();
        Ok(Self {
            plan,
            words: plan.entries(),
            private,
            public,
            session,
            identity,
            statement,
            signature,
            sealing_key: [4; 64],
            opening: Opening::new(Share::from_bytes([5; 32]))?,
            shares,
            vectors: Mutex::new([vec![1; plan.entries()], vec![2; plan.entries()]]),
            samples: Mutex::default(),
        })
    }

    /// One round of measurements, some milliseconds beside the vector's own.
    pub(super) fn sample<I: Instruments>(&self, instruments: &I) -> Result<(), Error> {
        let time = |runs: u32, work: &mut dyn FnMut() -> Result<(), Error>| {
            let start = instruments.thread_cpu();
            (0..runs).try_for_each(|_| work())?;
            let took = instruments.thread_cpu().saturating_sub(start);
            Ok::<_, Error>(took.checked_div(runs).unwrap_or_default())
        };
        let mut block = [0_u8; BLOCK];
        let stream = time(3, &mut || self.stream(&mut block))?;
        let agreement = time(8, &mut || {
            black_box(self.private.agree(&self.public));
            Ok(())
        })?;
        let (shares, threshold) = (byte(self.plan.shares())?, byte(self.plan.threshold())?);
        let sharing =
            time(4, &mut || split(&[3; 32], shares, threshold).map(|shares| drop(black_box(shares))))?;
        let seal = time(8, &mut || {
            [ShareKind::Seed, ShareKind::MaskingKey].into_iter().try_for_each(|kind| {
                let purpose = Purpose {
                    session: &self.session,
                    from: "site-000",
                    to: "site-001",
                    kind,
                    roster: &[6; 32],
                };
                black_box(seal(&self.sealing_key, &purpose, &self.opening)?);
                Ok(())
            })
        })?;
        let public = self.identity.public();
        let signature_check = time(8, &mut || {
            let holds = public.verifies(&self.statement.hash(), &self.signature);
            if black_box(holds) { Ok(()) } else { Err(Error::Internal { operation: "signature unit" }) }
        })?;
        let addition = self.addition(instruments);
        let reconstruction = time(4, &mut || combine(&self.shares).map(|secret| drop(black_box(secret))))?;
        let measured = [stream, agreement, sharing, seal, signature_check, addition, reconstruction];
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter_mut().zip(measured).for_each(|(samples, measured)| samples.push(measured));
        Ok(())
    }

    /// The medians of all rounds of measurements.
    pub(super) fn units(self) -> Units {
        let samples = self.samples.into_inner().unwrap_or_else(PoisonError::into_inner);
        let [stream, agreement, sharing, seal, signature_check, addition, reconstruction] =
            samples.map(median);
        Units { stream, agreement, sharing, seal, signature_check, addition, reconstruction }
    }

    fn stream(&self, block: &mut [u8; BLOCK]) -> Result<(), Error> {
        let mut stream = mask::stream(&[7; 32])?;
        let mut left = self.words.saturating_mul(bytes_of_a_word(self.plan.entry_bits()));
        while left > 0 {
            let part = left.min(BLOCK);
            mask::write_keystream(&mut stream, block.get_mut(..part).unwrap_or_default())?;
            left = left.saturating_sub(part);
            black_box(&mut *block);
        }
        Ok(())
    }

    /// Between two samples the vector leaves the processor's cache, as those do that wait for a server.
    fn addition<I: Instruments>(&self, instruments: &I) -> Duration {
        let mut vectors = self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        let [sum, vector] = &mut *vectors;
        black_box(&mut *sum).iter_mut().for_each(|sum| *sum = sum.wrapping_mul(3));
        let start = instruments.thread_cpu();
        let pairs = black_box(sum).iter_mut().zip(black_box(&*vector));
        pairs.for_each(|(sum, entry)| *sum = sum.wrapping_add(*entry));
        instruments.thread_cpu().saturating_sub(start)
    }
}

/// What an entry takes in memory, and of keystream.
fn bytes_of_a_word(bits: u32) -> usize {
    if bits <= u32::BITS { 4 } else { 8 }
}

fn byte(number: usize) -> Result<u8, Error> {
    u8::try_from(number).map_err(|_| Error::Internal { operation: "share count" })
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
