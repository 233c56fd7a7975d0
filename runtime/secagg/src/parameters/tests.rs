use super::*;

#[test]
fn defaults_are_the_seeds() {
    let parameters = Parameters::new();
    assert_eq!(parameters.max_weight(), 1000);
    assert_eq!(parameters.clipping_range(), 8.0);
    assert_eq!(parameters.quantization_range(), 4_194_304);
    assert_eq!(parameters.modulus_range(), 4_294_967_296);
    assert_eq!(parameters.min_cohort(), 3);
    assert_eq!(parameters.security(), Security::Malicious { adversaries: 1.0 / 3.0 });
}

#[test]
fn serialized_by_their_documented_names() {
    let json = r#"{"max_weight":1000,"clipping_range":8.0,"quantization_range":4194304,"modulus_range":4294967296,"min_cohort":3}"#;
    assert_eq!(serde_json::to_string(&Parameters::new()).unwrap(), json);
    assert_eq!(serde_json::from_str::<Parameters>("{}").unwrap(), Parameters::new());
    let count: Parameters = serde_json::from_str(r#"{"reconstruction_threshold": 4}"#).unwrap();
    assert_eq!(count.reconstruction_threshold(), Threshold::Count(4));
    let fraction: Parameters = serde_json::from_str(r#"{"reconstruction_threshold": 0.5}"#).unwrap();
    assert_eq!(fraction.reconstruction_threshold(), Threshold::Fraction(0.5));
    let sparse: Parameters = serde_json::from_str(r#"{"num_shares": 12}"#).unwrap();
    assert_eq!(sparse.num_shares(), NumShares::Count(12));
    let curious: Parameters = serde_json::from_str(r#"{"security": "semi-honest"}"#).unwrap();
    assert_eq!(curious.security(), Security::SemiHonest);
    let tenth: Parameters =
        serde_json::from_str(r#"{"security": {"malicious": {"adversaries": 0.1}}}"#).unwrap();
    assert_eq!(tenth.security(), Security::Malicious { adversaries: 0.1 });
    let found: Parameters =
        serde_json::from_str(r#"{"num_shares": "auto", "dropouts": 0.2, "colluders": 0.0}"#).unwrap();
    assert_eq!((found.num_shares(), found.dropouts(), found.colluders()), (NumShares::Auto, 0.2, 0.0));
    assert!(serde_json::from_str::<Parameters>(r#"{"num_shares": "all"}"#).is_err());
    for parameters in [count, fraction, sparse, curious, tenth, found] {
        let text = serde_json::to_string(&parameters).unwrap();
        assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), parameters);
    }
    assert!(serde_json::from_str::<Parameters>(r#"{"max_wait": 4}"#).is_err());
}

#[test]
fn digest_is_stable_and_depends_on_each_parameter() {
    let base = Parameters::new();
    let others = [
        base.with_num_shares(NumShares::Count(2)),
        base.with_num_shares(NumShares::Fraction(0.5)),
        base.with_num_shares(NumShares::Auto),
        base.with_colluders(0.1),
        base.with_dropouts(0.2),
        base.with_modulus_range(1 << 64),
        base.with_security(Security::SemiHonest),
        base.with_security(Security::Malicious { adversaries: 0.1 }),
        base.with_max_weight(999),
        base.with_clipping_range(7.0),
        base.with_quantization_range(1 << 21),
        base.with_modulus_range(1 << 31),
        base.with_min_cohort(4),
        base.with_reconstruction_threshold(Threshold::Count(2)),
        base.with_reconstruction_threshold(Threshold::Fraction(0.5)),
    ];
    for other in others {
        assert_ne!(other.digest(), base.digest(), "{other:?}");
    }
}

#[test]
fn thresholds_are_read_as_written() {
    assert_eq!("3".parse(), Ok(Threshold::Count(3)));
    assert_eq!("0.6".parse(), Ok(Threshold::Fraction(0.6)));
    assert_eq!("12".parse(), Ok(NumShares::Count(12)));
    assert_eq!("1.0".parse(), Ok(NumShares::default()));
    assert_eq!("auto".parse(), Ok(NumShares::Auto));
    assert_eq!(NumShares::Auto.to_string(), "auto");
    assert!("0.0".parse::<NumShares>().is_err() && "all".parse::<NumShares>().is_err());
    assert_eq!("1.0".parse(), Ok(Threshold::Fraction(1.0)));
    for text in ["", "-1", "1.5", "0.0", "NaN", "half"] {
        assert_eq!(
            text.parse::<Threshold>(),
            Err(PlanError::ThresholdUnreadable { got: text.to_owned() }),
            "{text}"
        );
    }
    for threshold in [Threshold::Count(7), Threshold::Fraction(1.0)] {
        assert_eq!(threshold.to_string().parse(), Ok(threshold));
    }
}

/// As a number where formats have one as large, else as a power; read in both ways.
#[test]
fn a_modulus_is_read_as_a_number_or_as_a_power() {
    for (modulus, text) in [(1 << 32, "4294967296"), (1 << 63, "9223372036854775808"), (1 << 64, r#""2^64""#)]
    {
        let json = serde_json::to_string(&Parameters::new().with_modulus_range(modulus)).unwrap();
        assert!(json.contains(&format!(r#""modulus_range":{text},"#)), "{json}");
        let power = format!(r#"{{"modulus_range":"2^{}"}}"#, modulus.trailing_zeros());
        let number = format!(r#"{{"modulus_range":{modulus}}}"#);
        for json in [&json, &power, &number] {
            assert_eq!(serde_json::from_str::<Parameters>(json).unwrap().modulus_range(), modulus);
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::from_value::<Parameters>(value).unwrap().modulus_range(), modulus);
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&Parameters::new().with_modulus_range(modulus), &mut bytes).unwrap();
        let back: Parameters = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(back.modulus_range(), modulus);
    }
    for text in [r#""2^""#, r#""2^200""#, r#""3^4""#, "-1", "1.5", "1e30"] {
        let json = format!(r#"{{"modulus_range":{text}}}"#);
        assert!(serde_json::from_str::<Parameters>(&json).is_err(), "{json}");
    }
}

#[test]
fn the_part_of_adversaries_is_that_of_the_setting() {
    let curious = Parameters::new().with_security(Security::SemiHonest);
    assert_eq!(curious.adversaries(), 0.05);
    assert_eq!(curious.with_colluders(0.2).adversaries(), 0.2);
    assert_eq!(Parameters::new().with_colluders(0.2).adversaries(), 1.0 / 3.0);
}
