//! What each kind of work takes on this machine, and what a session takes at least with that.

use std::{
    hint::black_box,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};

use super::Instruments;
use crate::{
    commitment::Opening,
    error::Error,
    identity::{IdentityKey, Signature},
    keys::{PrivateKey, PublicKey},
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
    /// One vector added to another, unpacked.
    pub addition: Duration,
    /// A secret rebuilt from t shares.
    pub reconstruction: Duration,
}

/// How often each kind of work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Of one client with all neighbours.
    pub(crate) neighbours: usize,
    /// N, of those in the roster.
    pub(crate) members: usize,
    pub(crate) is_signed: bool,
    /// Vectors in the sum.
    pub(crate) survivors: usize,
    pub(crate) dropped: usize,
    /// Pairs of a dropped member and a surviving neighbour.
    pub(crate) open_pairs: usize,
}

/// Processor time of the two roles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Of one client.
    pub client: Duration,
    /// Of the server.
    pub server: Duration,
}

impl Units {
    /// client = (k + 1) streams + 2k ECDH + 2 sharings + k seals, and N signature checks where messages are signed;
    /// server = an addition and a stream for each survivor, a stream and an ECDH for each pair of a dropped member and
    /// a survivor, and a reconstruction for each secret.
    pub(super) fn floor(&self, counts: &Counts) -> Costs {
        let times =
            |unit: Duration, count: usize| unit.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let k = counts.neighbours;
        let client = [
            times(self.stream, k.saturating_add(1)),
            times(self.agreement, k.saturating_mul(2)),
            times(self.sharing, 2),
            times(self.seal, k),
            times(self.signature_check, if counts.is_signed { counts.members } else { 0 }),
        ];
        let server = [
            times(self.addition, counts.survivors),
            times(self.stream, counts.survivors),
            times(self.stream.saturating_add(self.agreement), counts.open_pairs),
            times(self.reconstruction, counts.survivors.saturating_add(counts.dropped)),
        ];
        Costs { client: client.into_iter().sum(), server: server.into_iter().sum() }
    }
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
    /// By kind of work, in the order of [`Units`].
    samples: Mutex<[Vec<Duration>; 7]>,
}

/// Keystream that is made at once: it stays in the first-level cache.
const BLOCK: usize = 4096;

impl Sampler {
    pub(super) fn new(plan: Plan) -> Result<Self, Error> {
        let private = PrivateKey::generate()?;
        let public = PrivateKey::generate()?.encoded_public_key()?.decode("unit")?;
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
            let holds = public.verifies(&self.statement, &self.signature);
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
        let failed = |_| Error::Internal { operation: "stream unit" };
        let mut stream = Ctr128BE::<Aes128>::new_from_slices(&[7; 16], &[8; 16])
            .map_err(|_| Error::Internal { operation: "stream unit" })?;
        let mut left = self.words.saturating_mul(4);
        while left > 0 {
            let part = left.min(BLOCK);
            stream.try_write_keystream(block.get_mut(..part).unwrap_or_default()).map_err(failed)?;
            left = left.saturating_sub(part);
            black_box(&mut *block);
        }
        Ok(())
    }

    fn addition<I: Instruments>(&self, instruments: &I) -> Duration {
        let (mut sum, vector) = (vec![1_u32; self.words], vec![2_u32; self.words]);
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = instruments.thread_cpu();
            black_box(&mut sum)
                .iter_mut()
                .zip(black_box(&vector))
                .for_each(|(sum, entry)| *sum = sum.wrapping_add(*entry));
            best = best.min(instruments.thread_cpu().saturating_sub(start));
        }
        black_box(sum);
        best
    }
}

fn byte(number: usize) -> Result<u8, Error> {
    u8::try_from(number).map_err(|_| Error::Internal { operation: "share count" })
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
