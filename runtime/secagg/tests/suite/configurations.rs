//! The same sessions under every kind of configuration: the complete graph and a sparse one, a server that is trusted to
//! be curious only and one that is not, and differential privacy in both.

use veilflow_secagg::*;

use crate::common::{ALL, Cohort, Last, identity_of};

struct Configuration {
    name: &'static str,
    clients: usize,
    parameters: Parameters,
}

/// In all of them one participant may leave at any time.
fn configurations() -> Vec<Configuration> {
    let complete = Parameters::new().with_min_cohort(2).with_dropouts(0.0).with_colluders(0.0);
    let curious = complete.with_security(Security::SemiHonest);
    let malicious = complete.with_security(Security::Malicious { adversaries: 1.0 / 6.0 });
    let count = Threshold::Count;
    let sparse = |parameters: Parameters, shares, threshold| {
        let parameters = parameters.with_num_shares(NumShares::Count(shares));
        parameters.with_reconstruction_threshold(count(threshold)).with_min_cohort(10)
    };
    let twelfth = complete.with_security(Security::Malicious { adversaries: 1.0 / 12.0 });
    let privacy = Privacy::new(2.0, 0.5, 1e-5);
    let configuration = |name, clients, parameters| Configuration { name, clients, parameters };
    vec![
        configuration("curious", 4, curious.with_reconstruction_threshold(count(3))),
        configuration("malicious", 6, malicious.with_reconstruction_threshold(count(5))),
        configuration("k-regular, curious", 12, sparse(curious, 4, 2)),
        configuration("k-regular, malicious", 12, sparse(twelfth, 8, 5)),
        configuration("wide", 4, curious.with_modulus_range(1 << 64).with_quantization_range(1 << 40)),
        configuration("private, curious", 4, curious.with_privacy(privacy)),
        configuration("private, malicious", 6, malicious.with_privacy(privacy)),
        configuration("private, k-regular, malicious", 12, sparse(twelfth, 8, 5).with_privacy(privacy)),
        configuration(
            "private, wide",
            4,
            curious.with_privacy(privacy).with_modulus_range(1 << 40).with_quantization_range(1 << 28),
        ),
    ]
}

impl Configuration {
    fn cohort(&self) -> Cohort {
        let plan = self.parameters.plan(self.clients, Layout::new(1, 40)).unwrap();
        let mut cohort = Cohort::new(plan);
        cohort.encode = true;
        cohort.names = (0..self.clients).map(|i| format!("site {:02}", (i * 7) % self.clients)).collect();
        cohort.keys = cohort.names.iter().map(|name| (name.clone(), identity_of(name))).collect();
        cohort
    }

    /// Equal bit for bit, or but for noise that is as large as it should be, and not larger.
    fn check(&self, got: &Aggregate, plain: &Aggregate) {
        let name = self.name;
        assert_eq!(got.survivors(), plain.survivors(), "{name}");
        assert_eq!(got.total_weight(), plain.total_weight(), "{name}");
        if self.parameters.privacy().is_none() {
            assert_eq!(got, plain, "{name}");
            return;
        }
        let values = |sum: &Aggregate| -> Vec<f64> {
            sum.scalars().iter().copied().chain(sum.mean().iter().map(|x| f64::from(*x))).collect()
        };
        let noise: Vec<f64> = values(got).iter().zip(values(plain)).map(|(got, plain)| got - plain).collect();
        assert!(noise.iter().all(|noise| noise.abs() <= got.max_error()), "{name}: {noise:?}");
        let sigma = (noise.iter().map(|noise| noise * noise).sum::<f64>() / noise.len() as f64).sqrt();
        // Of 41 samples: a standard deviation of 11 %.
        assert!((0.3..2.0).contains(&(sigma / got.noise_std())), "{name}: {sigma}");
        assert_eq!(got.privacy(), plain.privacy(), "{name}");
    }
}

#[test]
fn the_sum_is_the_plain_one_when_all_stay() {
    for configuration in configurations() {
        let mut cohort = configuration.cohort();
        let last = vec![Last::Unmasks; configuration.clients];
        configuration.check(&cohort.run(&last).unwrap(), &cohort.plain(&last));
    }
}

#[test]
fn the_sum_is_the_plain_one_of_the_survivors_whenever_one_leaves() {
    for configuration in configurations() {
        for leave in ALL {
            let mut cohort = configuration.cohort();
            let mut last = vec![Last::Unmasks; configuration.clients];
            last[1] = leave;
            configuration.check(&cohort.run(&last).unwrap(), &cohort.plain(&last));
        }
    }
}

/// When all but one leave there is no sum, and who is missing is named.
#[test]
fn too_few_give_a_typed_error_that_names_who_is_missing() {
    for configuration in configurations() {
        for leave in [Last::Nothing, Last::FreezesRoster, Last::SharesKeys, Last::MasksInput] {
            let mut cohort = configuration.cohort();
            let mut last = vec![leave; configuration.clients];
            last[0] = Last::Unmasks;
            let error = cohort.run(&last).unwrap_err();
            let (Error::BelowThreshold { missing, got, .. } | Error::CohortTooSmall { missing, got, .. }) =
                &error
            else {
                panic!("{}: {error}", configuration.name)
            };
            let everybody_else = cohort.lost(&last, Last::Nothing, Last::Unmasks);
            assert_eq!((missing, *got), (&everybody_else, 1), "{}, {leave:?}", configuration.name);
        }
    }
}

#[test]
fn no_two_configurations_have_the_same_plan() {
    let mut digests: Vec<[u8; 32]> = configurations().iter().map(|c| c.cohort().plan.digest()).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), configurations().len());
}
